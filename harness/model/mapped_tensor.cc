#include "harness/model/mapped_tensor.h"

#include <ATen/ATen.h>

#include <cstring>

namespace harness {

at::Tensor mapped_tensor(std::shared_ptr<const MappedFile> file, std::uint64_t offset,
                         const std::vector<std::int64_t>& shape, at::ScalarType dtype) {
  const std::byte* data = file->data() + offset;
  auto options = at::TensorOptions().dtype(dtype);
  std::size_t element = c10::elementSize(dtype);
  if (reinterpret_cast<std::uintptr_t>(data) % element != 0) {
    at::Tensor copy = at::empty(shape, options);
    std::memcpy(copy.data_ptr(), data, static_cast<std::size_t>(copy.numel()) * element);
    return copy;
  }
  void* address = const_cast<std::byte*>(data);
  return at::from_blob(
      address, shape, [file = std::move(file)](void*) {}, options);
}

std::string short_dtype_name(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return "fp32";
    case at::kHalf:
      return "fp16";
    case at::kBFloat16:
      return "bf16";
    case at::kDouble:
      return "fp64";
    default:
      return c10::toString(dtype);
  }
}

std::string config_dtype_name(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return "float32";
    case at::kHalf:
      return "float16";
    case at::kBFloat16:
      return "bfloat16";
    case at::kDouble:
      return "float64";
    default:
      return c10::toString(dtype);
  }
}

}  // namespace harness
