#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "harness/core/format.h"
#include "harness/kernels/divergence_scalar.h"
#include "harness/kernels/gptq_columns.h"
#include "harness/kernels/hadamard_matrix.h"
#include "harness/kernels/quantize_scalar.h"
#include "harness/kernels/row_steps.h"

namespace harness::kernels {

// The CUDA side of the front (ops.cc): contiguous tensors on one CUDA device, already checked.
// ops_cuda.cc where CUDA is linked, ops_no_cuda.cc, which throws, where it is not.

/// @param what the tensor's name for check_quantized()
void fake_quantize_on_cuda(const at::Tensor& x, at::Tensor& y, std::int64_t group,
                           const QuantizerParams& params, const std::string& what);
void check_quantized_on_cuda(at::Device device);
/// @param what as fake_quantize_on_cuda()
void quantize_on_cuda(const at::Tensor& w, at::Tensor& codes, at::Tensor& scales, at::Tensor& zeros,
                      std::int64_t group, const QuantizerParams& params, const std::string& what);
/// @param gradient as x, in the same order of dimensions; result too, and none of the other two
void straight_through_gradient_on_cuda(const at::Tensor& x, const at::Tensor& gradient,
                                       at::Tensor& result, std::int64_t group,
                                       const QuantizerParams& params);
/// NaN where a target is outside the vocabulary.
void token_nll_on_cuda(const at::Tensor& logits, const at::Tensor& targets, at::Tensor& nll);
/// @param values float64 [rows, terms]
void divergences_on_cuda(const at::Tensor& logits, const Divergences& divergences,
                         at::Tensor& gradient, at::Tensor& values);
/// On the current stream of `device`, where the pointers lead.
void gptq_columns_on_cuda(const GptqColumns<float>& columns, at::Device device);
void gptq_columns_on_cuda(const GptqColumns<double>& columns, at::Device device);

/// @param signs [m, m] in the type of the arithmetic, as hadamard_cpu.h has them
/// @return false where a segment does not fit the device's shared memory; y is then as it was
bool hadamard_on_cuda(const at::Tensor& x, at::Tensor& y, const HadamardOrder& order,
                      std::int64_t inner, const at::Tensor& signs);
/// Whether the functions below can do these steps to rows like y: a Hadamard transform that fits
/// the device's shared memory, then a quantizer, or one of them, or none.
bool has_row_steps_on_cuda(const at::Tensor& y, const RowSteps& then);
// As transformer_ops.h has them; cos and sin in the type of the arithmetic.
void rms_norm_on_cuda(const at::Tensor& x, const at::Tensor& weight, at::Tensor& y, double epsilon,
                      const RowSteps& then);
void swiglu_on_cuda(const at::Tensor& gate, const at::Tensor& up, at::Tensor& y,
                    const RowSteps& then);
/// @param x, y [batch, tokens, heads, e]
void rotate_on_cuda(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                    at::Tensor& y, const RowSteps& then);
/// y = x, and then the steps.
void change_rows_on_cuda(const at::Tensor& x, at::Tensor& y, const RowSteps& then);

/// H_m, or its transpose, as [m, m] +1 and -1; made once per order, dtype and device.
at::Tensor hadamard_signs(std::int64_t m, bool transposed, const at::TensorOptions& options);

/// The kernels' name of a tensor's dtype.
/// @throws Error for a dtype that is not one of float32, float64, bfloat16, float16
DType kernel_dtype(const at::Tensor& tensor, const std::string& what);

/// @throws Error on bits other than 2 to 8, and on a clip outside (0, 1]
QuantizerParams params_of(const QuantSpec& spec, Scheme symmetric, bool mse_clip,
                          const std::string& what);

/// Values a scale covers.
/// @throws Error where they do not divide the features
std::int64_t group_of(const at::Tensor& x, const QuantSpec& spec, const std::string& what);

/// Groups a thread takes at least: below, starting threads costs more than the work.
std::int64_t grain_of(std::int64_t group);

}  // namespace harness::kernels
