#pragma once

#include <ATen/core/Tensor.h>

#include "harness/kernels/quantize_scalar.h"

namespace harness::kernels {

// The CUDA side of the front (ops.cc): contiguous tensors on one CUDA device, already checked.
// ops_cuda.cc where CUDA is linked, ops_no_cuda.cc, which throws, where it is not.

/// @return false when a value is not finite
bool fake_quantize_on_cuda(const at::Tensor& x, at::Tensor& y, std::int64_t group,
                           const QuantizerParams& params);
bool quantize_on_cuda(const at::Tensor& w, at::Tensor& codes, at::Tensor& scales, at::Tensor& zeros,
                      std::int64_t group, const QuantizerParams& params);
void token_nll_on_cuda(const at::Tensor& logits, const at::Tensor& targets, at::Tensor& nll);

/// The kernels' name of a tensor's dtype.
/// @throws Error for a dtype that is not one of float32, float64, bfloat16, float16
DType kernel_dtype(const at::Tensor& tensor, const std::string& what);

}  // namespace harness::kernels
