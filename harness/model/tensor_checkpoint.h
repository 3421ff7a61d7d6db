#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "harness/model/checkpoint.h"

namespace harness {

/// A checkpoint in memory: the weights of a new model, or of one that was just trained.
class TensorCheckpoint : public Checkpoint {
 public:
  /// @param tensors the checkpoint's, under their Hugging Face names
  TensorCheckpoint(LlamaConfig config, std::map<std::string, at::Tensor> tensors);

  const LlamaConfig& config() const override { return config_; }
  bool contains(const std::string& name) const override { return tensors_.count(name) > 0; }
  std::vector<std::string> names() const override;
  std::vector<std::int64_t> shape(const std::string& name) const override;
  at::Tensor load(const std::string& name) const override { return tensors_.at(name); }
  /// SHA-256 over names, dtypes, shapes and bytes, in the names' order.
  std::string digest() const override;
  std::string scheme() const override { return "in memory"; }

 private:
  LlamaConfig config_;
  std::map<std::string, at::Tensor> tensors_;
};

/// SHA-256 over names, dtypes, shapes and bytes, in the names' order.
std::string digest_of(const std::map<std::string, at::Tensor>& tensors);

}  // namespace harness
