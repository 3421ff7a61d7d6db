#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "harness/core/format.h"

// The front on at::Tensor that chooses an implementation (portable, AVX2, AVX-512, CUDA) for the raw-pointer
// kernels of this folder. Formulas: methods.md section 2. All arithmetic in float32 whatever the
// tensor's dtype (float64 stays float64, for exactness tests), true division, no fused multiply-add, the
// result cast once: every implementation gives the same bits.

namespace harness {

/// A quantized weight in its canonical form.
struct QuantizedWeight {
  at::Tensor codes;   // int8 [out, in] symmetric in [-2^(b-1), 2^(b-1)-1]; uint8 asymmetric in [0, 2^b-1]
  at::Tensor scales;  // float32 [out, groups]
  at::Tensor zeros;   // float32 [out, groups], asymmetric only; undefined otherwise
  QuantSpec spec;

  /// (codes - zeros) * scales, computed in float32, cast once. [out, in]
  at::Tensor dequantize(at::ScalarType dtype) const;
};

/// Quantize and dequantize activations dynamically along the last dimension: per token, or per
/// spec.group consecutive features of it.
/// @param x     floating point, any shape; the last dimension must be a multiple of the group
/// @param what  name of the tensor for messages ("layer 3, input of down")
/// @throws Error on NaN or infinity (names `what` and the index), on a group that does not divide
at::Tensor fake_quantize(const at::Tensor& x, const QuantSpec& spec, const std::string& what);

/// Quantize a weight [out, in] per row or per spec.group inputs.
/// @param mse_clip search 80 clip ratios for the least sum of |error|^2.4 per row or group
/// @throws Error as fake_quantize
QuantizedWeight quantize_weight(const at::Tensor& weight, const QuantSpec& spec, bool mse_clip,
                                const std::string& what);

/// Mean negative log-likelihood ingredients without a float copy of the logits.
/// @param logits  [n, vocabulary], floating point
/// @param targets int64 [n]
/// @return float32 [n]: log-sum-exp(logits) - logits[target], accumulated in float32 or better
at::Tensor token_nll(const at::Tensor& logits, const at::Tensor& targets);

/// Which CPU implementation the front chose: "avx512", "avx2" or "portable".
const char* cpu_implementation();

}  // namespace harness
