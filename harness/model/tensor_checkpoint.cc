#include "harness/model/tensor_checkpoint.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "harness/core/hash.h"

namespace harness {

TensorCheckpoint::TensorCheckpoint(LlamaConfig config, std::map<std::string, at::Tensor> tensors)
    : config_(std::move(config)), tensors_(std::move(tensors)) {}

std::vector<std::string> TensorCheckpoint::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

std::vector<std::int64_t> TensorCheckpoint::shape(const std::string& name) const {
  return tensors_.at(name).sizes().vec();
}

std::string TensorCheckpoint::digest() const { return digest_of(tensors_); }

std::string digest_of(const std::map<std::string, at::Tensor>& tensors) {
  Sha256 digest;
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor flat = tensor.detach().cpu().contiguous();
    digest.update(fmt::format("{} {} [{}]\n", name, c10::toString(flat.scalar_type()),
                              fmt::join(flat.sizes(), ", ")));
    digest.update(flat.data_ptr(), flat.nbytes());
  }
  return digest.hex();
}

}  // namespace harness
