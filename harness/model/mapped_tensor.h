#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "harness/model/mapped_file.h"

namespace harness {

/// The tensor that lies, row-major, at byte `offset` of a file. A view of the mapping, which it
/// keeps alive; a copy only where the file has it at an address that the dtype's alignment forbids.
/// The caller has checked that it lies within the file.
at::Tensor mapped_tensor(std::shared_ptr<const MappedFile> file, std::uint64_t offset,
                         const std::vector<std::int64_t>& shape, at::ScalarType dtype);

/// "fp32", "fp16", "bf16", "fp64": how tables name a dtype; torch's own name for others.
std::string short_dtype_name(at::ScalarType dtype);
/// "float32", "float16", "bfloat16", "float64": how config.json names a dtype; torch's name for
/// others.
std::string config_dtype_name(at::ScalarType dtype);

}  // namespace harness
