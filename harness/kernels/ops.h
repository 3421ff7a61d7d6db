#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "harness/core/error.h"
#include "harness/core/format.h"

// The front on at::Tensor that chooses an implementation (portable, AVX2, AVX-512, CUDA) for the
// raw-pointer kernels of this folder. Formulas: methods.md section 2. All arithmetic in float32
// whatever the tensor's dtype (float64 stays float64, for exactness tests), true division, no fused
// multiply-add, the result cast once: every implementation gives the same bits.

namespace harness {

/// A quantized weight in its canonical form.
struct QuantizedWeight {
  at::Tensor codes;  // [out, in]: int8 -2^(b-1) .. 2^(b-1)-1 symmetric, uint8 0 .. 2^b-1 asymmetric
  at::Tensor scales;  // [out, groups] in float32, float64 of a float64 weight
  at::Tensor zeros;   // as scales; asymmetric only, undefined otherwise
  QuantSpec spec;

  /// (codes - zeros) * scales in the scales' dtype, cast once; beyond the largest finite value of
  /// `dtype`: that value. [out, in]
  at::Tensor dequantize(at::ScalarType dtype) const;
};

/// Quantizes and dequantizes activations dynamically along the last dimension: per token, or per
/// spec.group consecutive features of it. 16 bits: the same tensor. Any dense order of dimensions
/// is kept.
/// @param x     floating point, any shape; the last dimension must be a multiple of the group
/// @param what  name of the tensor for messages ("layer 3, input of down")
/// @throws NotFinite (on CUDA check_quantized() does, later); Error on a group that does not divide
///         and on bits other than 2 to 8 and 16
at::Tensor fake_quantize(const at::Tensor& x, const QuantSpec& spec, const std::string& what);

/// What quantize_weight(weight, spec, false, what).dequantize() gives in the weight's dtype, in one
/// pass. 16 bits: the same tensor.
at::Tensor fake_quantize_weight(const at::Tensor& weight, const QuantSpec& spec,
                                const std::string& what);

/// Quantizes a weight [out, in] per row or per spec.group inputs, to 2 to 8 bits.
/// @param mse_clip search 80 clip ratios for the least sum of |error|^2.4 per row or group
/// @throws NotFinite and Error as fake_quantize
QuantizedWeight quantize_weight(const at::Tensor& weight, const QuantSpec& spec, bool mse_clip,
                                const std::string& what);

/// A tensor with a NaN or an infinity where numbers are needed: names the tensor and the first such
/// index.
class NotFinite : public Error {
 public:
  using Error::Error;
};

/// On CUDA, where fake_quantize() and quantize_weight() do not wait for their kernels: whether all
/// values that they met on this device since the last call were finite. Waits for the current
/// stream. Elsewhere nothing.
/// @throws NotFinite that names the first tensor with another one, but no index
void check_quantized(at::Device device);

/// @throws NotFinite when a value is NaN or infinite
void check_finite(const at::Tensor& x, const std::string& what);

/// Negative log-likelihoods without a float copy of the logits. On the CPU the relative error
/// against float64 is below 1e-6 whatever the vocabulary (the exponential is within 2 ulp, long
/// sums run in float64).
/// @param logits  [n, vocabulary], floating point; a row that holds a NaN or +infinity gives NaN
/// @param targets int64 [n]
/// @return float32 [n]: log-sum-exp(logits) - logits[target]
/// @throws Error on shapes that do not fit, and on a target outside the vocabulary; where the
/// targets are on CUDA, which is not waited for, such a one gives NaN
at::Tensor token_nll(const at::Tensor& logits, const at::Tensor& targets);

/// log-sum-exp(logits) with the accuracy of token_nll, for logits of a part of the vocabulary.
/// @param logits [n, columns], floating point, on the CPU
/// @return float64 [n]
at::Tensor log_sum_exp(const at::Tensor& logits);

/// Which CPU implementation the front chose: "avx512", "avx2" or "portable".
const char* cpu_implementation();

}  // namespace harness
