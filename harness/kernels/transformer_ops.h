#pragma once

#include <ATen/core/Tensor.h>

#include "harness/kernels/row_steps.h"

// What a LLaMA block does between its matrix products. Any device and floating dtype,
// differentiable; where no gradient is recorded, float32 and bfloat16 on the CPU, and all dtypes on
// CUDA, take one pass over memory (transformer_cpu.h, transformer.cu). `then`: the steps that each
// row of the result goes through (row_steps.h), on the CPU in the same pass, with the bits of
// apply_rows().

namespace harness {

/// cast(x / sqrt(mean(x^2) + epsilon)) * weight along the last dimension. The norm in float32
/// (float64 stays float64), cast, then scaled in x's dtype, as transformers' LlamaRMSNorm does it.
/// @param x contiguous [..., n]; weight [n], of x's dtype
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon,
                    const RowSteps& then = {});

/// silu(gate) * up. The result may take gate's memory: the caller must not use gate afterwards.
/// @param gate, up contiguous, of one shape
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up, const RowSteps& then = {});

/// Rotates the pairs (i, i + e/2) of each head by its token's angles, in the angles' dtype, and
/// casts once.
/// @param x        [batch, heads, tokens, e]; without a copy where a token's heads lie together
/// @param cos, sin [tokens, e/2], contiguous float32 or float64, on x's device
at::Tensor rotate_halves(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                         const RowSteps& then = {});

}  // namespace harness
