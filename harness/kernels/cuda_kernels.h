#pragma once

#include <cstdint>

#include "harness/kernels/float_types.h"
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
int cuda_token_nll(DType dtype, const void* logits, const std::int64_t* targets, float* nll,
                   std::int64_t rows, std::int64_t vocabulary, CUstream_st* stream);

/// hadamard_transform() (hadamard.h) of `values` values, rows one after the other.
/// @param signs as hadamard_cpu.h has them, on the device, from a multiple of 16 bytes on
int cuda_hadamard(DType dtype, const void* x, void* y, std::int64_t values,
                  const HadamardOrder& order, std::int64_t inner, const void* signs,
                  CUstream_st* stream);
/// Whether the current device's shared memory holds a segment.
bool cuda_hadamard_fits(DType dtype, const HadamardOrder& order, std::int64_t inner);

// As transformer_cpu.h's; all dtypes. cos and sin are in the compute type.
int cuda_rms_norm(DType dtype, const void* x, const void* weight, void* y, std::int64_t rows,
                  std::int64_t columns, double epsilon, CUstream_st* stream);
int cuda_swiglu(DType dtype, const void* gate, const void* up, void* y, std::int64_t n,
                CUstream_st* stream);

/// Of x and y [batch, heads, tokens, 2 * half], whose last dimension is dense. Strides in values.
struct RotationShape {
  std::int64_t batch, heads, tokens, half;
  std::int64_t batch_stride, head_stride, token_stride;
};
/// @param cos, sin [tokens, half]
int cuda_rotate(DType dtype, const void* x, const void* cos, const void* sin, void* y,
                const RotationShape& shape, CUstream_st* stream);

}  // namespace harness::kernels
