#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

// Matrix products on the CPU with the weight laid out beforehand in oneDNN's own blocks: at::linear
// lays it out anew at every call. In bfloat16 that costs, for an lm_head, as much as the product;
// in float32 it shows where few rows share it, as in a step of a generation.

namespace harness {

/// Whether packed products are the faster ones, whatever the rows, for weights of that dtype there:
/// bfloat16, on a CPU with AVX-512.
bool can_pack(at::ScalarType dtype, at::Device device);
bool can_pack(const at::Tensor& weight);

/// Whether they are for a few rows: float32 weights that no cache holds, there.
bool can_pack_for_few_rows(const at::Tensor& weight);
/// Whether the product of x with a weight that is packed should take it: not in float32 unless x
/// has a few rows, 4 to 256 (measured on one core at 1 to 2048: .6 to .9 times at::linear's speed
/// at 1 row, 1.1 to 2.8 times at 8 to 100, .8 to 1.1 times beyond).
bool packed_is_faster(const at::Tensor& x);

/// A copy of weight [out, in] in blocks, opaque: only packed_linear reads it. Later writes to
/// `weight` do not reach it.
at::Tensor pack_weight(const at::Tensor& weight);

/// at::linear with the packed weight; not differentiable. Sums may be ordered otherwise than
/// at::linear's.
/// @param x [..., in] of the weight's dtype
at::Tensor packed_linear(const at::Tensor& x, const at::Tensor& packed,
                         const std::optional<at::Tensor>& bias);

}  // namespace harness
