#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

namespace harness {

/// Writes `values` as float32 in NumPy's .npy format, version 1.0 (row-major, little-endian). The
/// file appears complete or not at all: it is written beside its place first.
/// @throws Error when the folder is missing, cannot be written to, or the disk is full
void write_npy(const std::filesystem::path& path, const at::Tensor& values);

}  // namespace harness
