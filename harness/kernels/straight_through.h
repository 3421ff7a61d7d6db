#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "harness/core/format.h"

// Fake quantization that can be trained through (methods.md section 2, "Gradient"): straight
// through the rounding, the zero point a constant; the clamp and the scale keep their own
// gradients, and an extreme hands its share evenly to the values that reach it. Any device, any
// order of gradients but the first is not there.

namespace harness {

/// fake_quantize() to the bit, with a gradient for x.
at::Tensor fake_quantize_straight_through(const at::Tensor& x, const QuantSpec& spec,
                                          const std::string& what);

/// What quantize_weight(weight, spec, false, what).dequantize() gives, with a gradient for the
/// weight [out, in].
at::Tensor quantize_weight_straight_through(const at::Tensor& weight, const QuantSpec& spec,
                                            const std::string& what);

}  // namespace harness
