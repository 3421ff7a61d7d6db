#include "harness/run/loaded_model.h"

#include <cassert>

namespace harness {

std::string local_model(const std::string& reference, const std::string& data_dir,
                        Progress& progress) {
  const ModelReference model(reference);
  if (!model.pair) return reference;
  const std::shared_ptr<const Pair> pair = open_pair(*model.pair, data_dir);
  if (pair->trains(model.pair->role) && !pair->ready()) pair->make(progress);
  return pair->reference(model.pair->role);
}

std::optional<ChatTemplate> local_chat_template(const std::string& reference,
                                                const std::string& data_dir) {
  const ModelReference model(reference);
  if (!model.pair) return read_chat_template(reference);
  const std::shared_ptr<const Pair> pair = open_pair(*model.pair, data_dir);
  if (!pair->trains(model.pair->role)) return pair->base()->chat_template;
  return read_chat_template(pair->reference(model.pair->role));
}

std::unique_ptr<LlamaTextModel> load_model(const ModelFiles& files, c10::ScalarType dtype,
                                           c10::Device device) {
  return std::make_unique<LlamaTextModel>(LlamaModel::load(*files.checkpoint, dtype, device),
                                          files.tokenizer, files.chat_template);
}

LlamaTextModel& LazyReferences::get(Role role) {
  auto& slot = role == Role::aligned ? aligned_ : base_;
  const auto& files = role == Role::aligned ? run_.model : run_.base;
  assert(files);  // the plan has checked that a run names the base its plugins need
  if (!slot) {
    files->open();
    slot = load_model(*files, run_.dtype, run_.device);
  }
  return *slot;
}

}  // namespace harness
