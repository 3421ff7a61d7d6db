#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "harness/model/llama.h"

namespace harness {

/// A model's last hidden states, after the final norm, at the positions of a text. Its head makes
/// logits of them, so that one pass serves whatever is asked of the logits later. They are kept on
/// disk (kept_tensors.h): hidden size values a position, in the model's dtype.
class FinalStates {
 public:
  /// @param tokens int64 [sequences, length]
  /// @param folder empty: nothing is kept, and each call of of() is a pass
  /// @param what   names all that the states depend on
  FinalStates(const LlamaModel& model, const at::Tensor& tokens,
              const std::filesystem::path& folder = {}, const std::string& what = {});

  const LlamaModel& model() const { return model_; }
  /// Those of consecutive sequences, in batches.
  /// @param first of the sequences
  /// @return [batch, length, hidden] of each batch, on the model's device
  std::vector<at::Tensor> of(const std::vector<at::Tensor>& batches, std::int64_t first);
  /// To be called once of() was for every sequence.
  void keep() const;

 private:
  const LlamaModel& model_;
  std::string key_;
  std::filesystem::path file_;
  bool found_ = false;
  at::Tensor states_;  // [sequences, length, hidden] on the CPU; undefined where nothing is kept
};

}  // namespace harness
