#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "harness/kernels/ops.h"

// Linears on the CPU as products of integers, as an integer kernel of a deployment would run them:
//   y = sum over segments of s_w s_x (sum q_x q_w - z_x sum q_w - z_w sum q_x + n z_x z_w) + bias
// with codes q of 8 bits, sums in int32, and the rest in float32, cast once. A segment is so many
// consecutive inputs that neither the weight's nor the activation's scales change within. The sums
// of integers are exact, those over segments in their order: results do not depend on the machine
// or on threads. They equal at::linear of what fake_quantize() and dequantize() give in float32, up
// to the roundings of that product.

namespace harness {

/// The input of Linears, quantized once for all that read it.
struct IntegerInput {
  at::Tensor codes;                 // uint8, in tiles (integer_cpu.h)
  at::Tensor scales;                // float32 [rows, segments]
  at::Tensor zeros, sums;           // int32 [rows, segments]; the sums are the codes'
  std::vector<std::int64_t> shape;  // of the values [..., in]
  at::ScalarType dtype;             // of the values, and of what Linears make of them
};

/// A Linear's weight and bias, laid out for integer products.
struct IntegerWeight {
  at::Tensor codes;        // int8, four in an int32, in tiles (integer_cpu.h)
  at::Tensor scales;       // float32 [segments, outputs, up to a multiple of 32]
  at::Tensor zeros, sums;  // int32, as scales; the sums are those of code - zero
  at::Tensor bias;         // float32 [outputs, as above]
  std::int64_t outputs, segment;
};

/// Whether every sum of a segment of so many inputs fits int32.
bool integer_sums_fit(std::int64_t segment, const QuantSpec& input, const QuantSpec& weight);

/// The codes of fake_quantize().
/// @param x       [..., in] of float32, bfloat16 or float16, on the CPU
/// @param segment divides the inputs, and spec.group unless that is 0
/// @throws NotFinite
IntegerInput integer_input(const at::Tensor& x, const QuantSpec& spec, std::int64_t segment,
                           const std::string& what);

/// @param weight  on the CPU, with scales in float32
/// @param bias    [out] or none
/// @param segment divides the inputs and the weight's group
IntegerWeight integer_weight(const QuantizedWeight& weight, const std::optional<at::Tensor>& bias,
                             std::int64_t segment);

/// [..., out] in the input's dtype.
/// @param x of the weight's segments
at::Tensor integer_linear(const IntegerInput& x, const IntegerWeight& weight);

/// How the products are computed here: "AMX", "AVX-512 VNNI" or "portable".
const char* integer_implementation();

}  // namespace harness
