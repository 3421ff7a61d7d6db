#include "harness/quant/final_states.h"

#include <ATen/ATen.h>

#include "harness/core/hash.h"
#include "harness/model/kept_tensors.h"

namespace harness {
namespace {

constexpr const char* kKept = "final hidden states";
constexpr const char* kStates = "states";

}  // namespace

FinalStates::FinalStates(const LlamaModel& model, const at::Tensor& tokens,
                         const std::filesystem::path& folder, const std::string& what)
    : model_(model), key_(sha256(what)) {
  if (folder.empty()) return;
  file_ = folder / (key_ + ".safetensors");
  if (const auto kept = find_kept_tensors(file_, key_, kKept)) {
    states_ = kept->load(kStates);
    found_ = true;
  } else {
    states_ =
        at::empty({tokens.size(0), tokens.size(1), model.config().hidden_size}, model.dtype());
  }
}

std::vector<at::Tensor> FinalStates::of(const std::vector<at::Tensor>& batches,
                                        std::int64_t first) {
  std::vector<at::Tensor> result;
  if (!found_) {
    std::vector<Pass> passes;
    for (const at::Tensor& batch : batches) passes.push_back({batch});
    result = model_.hidden_together(passes);
  }
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const std::int64_t sequences = batches[i].size(0);
    if (found_)
      result.push_back(states_.narrow(0, first, sequences).to(model_.device()));
    else if (states_.defined())
      states_.narrow(0, first, sequences).copy_(result[i]);
    first += sequences;
  }
  return result;
}

void FinalStates::keep() const {
  if (found_ || file_.empty()) return;
  std::filesystem::create_directories(file_.parent_path());
  keep_tensors(file_, key_, kKept, {{kStates, states_}});
}

}  // namespace harness
