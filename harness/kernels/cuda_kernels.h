#pragma once

#include <cstdint>

#include "harness/kernels/divergence_scalar.h"
#include "harness/kernels/float_types.h"
#include "harness/kernels/gptq_columns.h"
#include "harness/kernels/hadamard_matrix.h"
#include "harness/kernels/quantize_scalar.h"

struct CUstream_st;  // cudaStream_t is a pointer to it

namespace harness::kernels {

// The CUDA kernels, on raw device pointers; asynchronous on `stream`. Arguments as CpuKernels has
// them. Each returns the launch's cudaError_t as an int (0: none).

/// @param not_finite device int32, zeroed by the caller; set to 1 when a value is not finite
int cuda_fake_quantize(DType dtype, const void* x, void* y, std::int64_t groups, std::int64_t group,
                       const QuantizerParams& params, std::int32_t* not_finite,
                       CUstream_st* stream);
int cuda_quantize(DType dtype, const void* w, void* codes, void* scales, void* zeros,
                  std::int64_t groups, std::int64_t group, const QuantizerParams& params,
                  std::int32_t* not_finite, CUstream_st* stream);
/// float64 and float16 too.
int cuda_straight_through_gradient(DType dtype, const void* x, const void* gradient, void* result,
                                   std::int64_t groups, std::int64_t group,
                                   const QuantizerParams& params, CUstream_st* stream);
/// NaN where a target is outside the vocabulary.
int cuda_token_nll(DType dtype, const void* logits, const std::int64_t* targets, float* nll,
                   std::int64_t rows, std::int64_t vocabulary, CUstream_st* stream);
/// float64 too.
int cuda_divergences(DType dtype, const void* logits, const Divergences& divergences,
                     void* gradient, double* values, std::int64_t rows, CUstream_st* stream);
int cuda_gptq_columns(const GptqColumns<float>& columns, CUstream_st* stream);
int cuda_gptq_columns(const GptqColumns<double>& columns, CUstream_st* stream);

/// hadamard_transform() (hadamard.h) of `values` values, rows one after the other.
/// @param signs as hadamard_cpu.h has them, on the device, from a multiple of 16 bytes on
int cuda_hadamard(DType dtype, const void* x, void* y, std::int64_t values,
                  const HadamardOrder& order, std::int64_t inner, const void* signs,
                  CUstream_st* stream);
/// Whether the current device's shared memory holds a segment.
bool cuda_hadamard_fits(DType dtype, const HadamardOrder& order, std::int64_t inner);

/// Row steps (row_steps.h) that the kernels below do to the rows they make: a Hadamard transform
/// that fits, then a quantizer; each may be left out.
struct CudaRowSteps {
  bool hadamard = false;
  HadamardOrder order = {};
  std::int64_t inner = 1;
  const void* signs = nullptr;  // as cuda_hadamard()
  bool quantize = false;
  QuantizerParams params = {};
  std::int64_t group = 0;
  std::int32_t* not_finite = nullptr;  // as cuda_fake_quantize()
};

// As transformer_cpu.h's; all dtypes. cos and sin are in the compute type.
int cuda_rms_norm(DType dtype, const void* x, const void* weight, void* y, std::int64_t rows,
                  std::int64_t columns, double epsilon, const CudaRowSteps& then,
                  CUstream_st* stream);
int cuda_swiglu(DType dtype, const void* gate, const void* up, void* y, std::int64_t rows,
                std::int64_t columns, const CudaRowSteps& then, CUstream_st* stream);
/// @param x, y     [batch, tokens, heads, 2 * half]
/// @param cos, sin [tokens, half]
int cuda_rotate(DType dtype, const void* x, const void* cos, const void* sin, void* y,
                std::int64_t batch, std::int64_t tokens, std::int64_t heads, std::int64_t half,
                const CudaRowSteps& then, CUstream_st* stream);
/// y = x, and then the steps. [rows, columns]
int cuda_change_rows(DType dtype, const void* x, void* y, std::int64_t rows, std::int64_t columns,
                     const CudaRowSteps& then, CUstream_st* stream);

}  // namespace harness::kernels
