#pragma once

#include <ATen/core/Tensor.h>

// The steps of a transform on tensors of any floating type; an undefined scale or rotation leaves x
// as it is. For this room only.

namespace harness {

/// The type to compute in: float64 stays, all others are float32.
at::ScalarType wide_type(const at::Tensor& x);

/// x * scale and x / scale, computed in wide_type (of S = 1.002 bfloat16 would leave 1).
at::Tensor scaled(const at::Tensor& x, const at::Tensor& scale);
at::Tensor unscaled(const at::Tensor& x, const at::Tensor& scale);

/// x [..., n] times the rotation [n, n], and times its inverse.
at::Tensor rotated(const at::Tensor& x, const at::Tensor& rotation);
at::Tensor unrotated(const at::Tensor& x, const at::Tensor& rotation);

}  // namespace harness
