#pragma once

#include <memory>

#include "harness/model/llama_text_model.h"
#include "harness/plugin/references.h"
#include "harness/run/plan.h"

namespace harness {

/// What open_checkpoint and open_tokenizer take for a model as people name it: the reference
/// itself, or the folder of a pair's model, which is trained first if it has to be.
std::string local_model(const std::string& reference, const std::string& data_dir,
                        Progress& progress);

/// The chat template by which that model is talked to, once it is there: its checkpoint's, or the
/// one that its pair has for it.
std::optional<ChatTemplate> local_chat_template(const std::string& reference,
                                                const std::string& data_dir);

std::unique_ptr<LlamaTextModel> load_model(const ModelFiles& files, c10::ScalarType dtype,
                                           c10::Device device);

/// The unquantized models of a run, each loaded when it is first asked for.
class LazyReferences : public References {
 public:
  explicit LazyReferences(const PlannedRun& run) : run_(run) {}
  const Model& model(Role role) override { return get(role); }
  const LlamaModel& llama(Role role) override { return get(role).llama(); }

 private:
  LlamaTextModel& get(Role role);
  const PlannedRun& run_;
  std::unique_ptr<LlamaTextModel> aligned_, base_;
};

}  // namespace harness
