// Divergences and their gradient on CUDA: a block a row (divergence_block.h), sums in float64 and
// in a fixed order.

#include "harness/kernels/cuda_kernels.h"
#include "harness/kernels/divergence_block.h"

namespace harness::kernels {
namespace {

template <class T>
__global__ void __launch_bounds__(kMostThreads)
    for_rows(const T* logits, const __grid_constant__ Divergences divergences, T* gradient,
             double* values, std::int64_t rows) {
  __shared__ DivergenceShared<Compute<T>> shared;
  for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x)
    divergences_of_row(CudaBlock{kMostThreads}, logits, divergences, gradient, values, row, shared);
}

}  // namespace

int cuda_divergences(DType dtype, const void* logits, const Divergences& divergences,
                     void* gradient, double* values, std::int64_t rows, CUstream_st* stream) {
  return with_type(dtype, [&](auto type) -> int {
    using T = decltype(type);
    for_rows<<<blocks_for(rows), kMostThreads, 0, stream>>>(
        static_cast<const T*>(logits), divergences, static_cast<T*>(gradient), values, rows);
    return cudaGetLastError();
  });
}

}  // namespace harness::kernels
