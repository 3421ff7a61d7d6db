#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "harness/kernels/hadamard_matrix.h"

namespace harness {

/// x H along the last dimension, with the normalised (so orthogonal) H_n of hadamard_order(n): by
/// butterflies and one product with H_m, in O(n log n + n m) a row. Any device and floating dtype;
/// arithmetic in float32, in float64 for float64, the result cast once. Differentiable.
/// @param x          [..., n * inner]
/// @param inner      consecutive values that are mixed together: with inner = e and n heads in the
///                   last dimension, H mixes over the head index
/// @param transposed x H^T, the inverse
at::Tensor hadamard_transform(const at::Tensor& x, std::int64_t inner = 1, bool transposed = false);

}  // namespace harness
