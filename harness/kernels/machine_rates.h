#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

// What this machine's processor does at most, measured with ATen's threads: the rooflines that
// kernels are held against.

namespace harness {

/// Measures once, at each call: a rate in units a second.
using RateProbe = std::function<double()>;

/// Bytes, read and written, of a copy from memory to memory, by stores that pass the caches by: the
/// fastest there is.
/// @param bytes of one of the two buffers, beyond the caches; a multiple of 4096
RateProbe copy_probe(std::int64_t bytes = std::int64_t{1} << 28);

/// Operations (a multiplication and an addition are two) of a product of two square matrices.
/// @param dtype float32, bfloat16, or int8 with sums in int32
RateProbe matrix_probe(at::ScalarType dtype, std::int64_t size = 2048);

/// The median of what a probe finds in about that time, of 5 measurements at least, after one that
/// does not count.
double median_rate(const RateProbe& probe, double seconds);

}  // namespace harness
