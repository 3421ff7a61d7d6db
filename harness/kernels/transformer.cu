// RMSNorm, SwiGLU and RoPE on CUDA, each value read from memory once (RMSNorm's second reading,
// right after the first, is left to the caches) and written once. Compiled with -fmad=false: RoPE
// has the bits of the CPU, the others another order of sums and another exponential.

#include "harness/kernels/cuda_kernels.h"
#include "harness/kernels/transformer_block.h"

namespace harness::kernels {
namespace {

constexpr int kSwigluTile = 8 * kRowThreads;

/// A block takes 1 to 16 rows at a time.
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    rms_norm_rows(const T* x, const T* weight, T* y, std::int64_t rows, std::int64_t columns,
                  double epsilon) {
  __shared__ Compute<T> squares[kRowThreads];
  const std::int64_t at_once = kRowThreads / team_size(columns);
  for (std::int64_t row = blockIdx.x * at_once; row < rows; row += gridDim.x * at_once)
    rms_norm_of_rows(CudaBlock{kRowThreads}, x + row * columns, weight, y + row * columns,
                     rows - row, columns, static_cast<Compute<T>>(epsilon), squares);
}

/// A block takes kSwigluTile values at a time.
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    swiglu_tiles(const T* gate, const T* up, T* y, std::int64_t n) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kSwigluTile;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kSwigluTile; i < n; i += stride) {
    const int count = n - i < kSwigluTile ? static_cast<int>(n - i) : kSwigluTile;
    swiglu_of(CudaBlock{kRowThreads}, gate + i, up + i, y + i, count);
  }
}

/// A block takes all heads of a token of one sequence at a time.
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    rotate_tokens(const T* x, const Compute<T>* cos, const Compute<T>* sin, T* y,
                  RotationShape shape) {
  for (std::int64_t row = blockIdx.x; row < shape.batch * shape.tokens; row += gridDim.x) {
    const std::int64_t token = row % shape.tokens;
    const std::int64_t at = row / shape.tokens * shape.batch_stride + token * shape.token_stride;
    rotate_token(CudaBlock{kRowThreads}, x + at, cos + token * shape.half, sin + token * shape.half,
                 y + at, static_cast<int>(shape.heads), shape.head_stride,
                 static_cast<int>(shape.half));
  }
}

template <class T>
int rms_norm(const void* x, const void* weight, void* y, std::int64_t rows, std::int64_t columns,
             double epsilon, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  const std::int64_t at_once = kRowThreads / team_size(columns);
  rms_norm_rows<<<blocks_for((rows + at_once - 1) / at_once), kRowThreads, 0, stream>>>(
      static_cast<const T*>(x), static_cast<const T*>(weight), static_cast<T*>(y), rows, columns,
      epsilon);
  return cudaGetLastError();
}

template <class T>
int swiglu(const void* gate, const void* up, void* y, std::int64_t n, cudaStream_t stream) {
  if (n == 0) return cudaSuccess;
  swiglu_tiles<<<blocks_for((n + kSwigluTile - 1) / kSwigluTile), kRowThreads, 0, stream>>>(
      static_cast<const T*>(gate), static_cast<const T*>(up), static_cast<T*>(y), n);
  return cudaGetLastError();
}

template <class T>
int rotate(const void* x, const void* cos, const void* sin, void* y, const RotationShape& shape,
           cudaStream_t stream) {
  if (shape.batch * shape.tokens == 0) return cudaSuccess;
  rotate_tokens<<<blocks_for(shape.batch * shape.tokens), kRowThreads, 0, stream>>>(
      static_cast<const T*>(x), static_cast<const Compute<T>*>(cos),
      static_cast<const Compute<T>*>(sin), static_cast<T*>(y), shape);
  return cudaGetLastError();
}

}  // namespace

int cuda_rms_norm(DType dtype, const void* x, const void* weight, void* y, std::int64_t rows,
                  std::int64_t columns, double epsilon, CUstream_st* stream) {
  switch (dtype) {
    case DType::f32:
      return rms_norm<float>(x, weight, y, rows, columns, epsilon, stream);
    case DType::f64:
      return rms_norm<double>(x, weight, y, rows, columns, epsilon, stream);
    case DType::bf16:
      return rms_norm<Bf16>(x, weight, y, rows, columns, epsilon, stream);
    case DType::f16:
      return rms_norm<Half>(x, weight, y, rows, columns, epsilon, stream);
  }
  return cudaErrorInvalidValue;
}

int cuda_swiglu(DType dtype, const void* gate, const void* up, void* y, std::int64_t n,
                CUstream_st* stream) {
  switch (dtype) {
    case DType::f32:
      return swiglu<float>(gate, up, y, n, stream);
    case DType::f64:
      return swiglu<double>(gate, up, y, n, stream);
    case DType::bf16:
      return swiglu<Bf16>(gate, up, y, n, stream);
    case DType::f16:
      return swiglu<Half>(gate, up, y, n, stream);
  }
  return cudaErrorInvalidValue;
}

int cuda_rotate(DType dtype, const void* x, const void* cos, const void* sin, void* y,
                const RotationShape& shape, CUstream_st* stream) {
  switch (dtype) {
    case DType::f32:
      return rotate<float>(x, cos, sin, y, shape, stream);
    case DType::f64:
      return rotate<double>(x, cos, sin, y, shape, stream);
    case DType::bf16:
      return rotate<Bf16>(x, cos, sin, y, shape, stream);
    case DType::f16:
      return rotate<Half>(x, cos, sin, y, shape, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace harness::kernels
