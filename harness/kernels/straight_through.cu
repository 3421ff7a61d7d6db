// The gradient of fake quantization on CUDA. A block takes 1 to 16 groups at a time
// (thread_block.h) and moves x and the gradient in and the result out; its second reading of x,
// right after the first, is left to the caches. Compiled with -fmad=false; sums in a fixed order,
// not the CPU's.

#include "harness/kernels/cuda_kernels.h"
#include "harness/kernels/gradient_block.h"

namespace harness::kernels {
namespace {

template <class T>
__global__ void __launch_bounds__(kRowThreads)
    for_groups(const T* x, const T* gradient, T* result, std::int64_t groups, std::int64_t group,
               QuantizerParams params) {
  __shared__ GradientShared<Compute<T>> shared;
  const std::int64_t at_once = kRowThreads / team_size(group);
  for (std::int64_t g = blockIdx.x * at_once; g < groups; g += gridDim.x * at_once)
    gradient_of_groups(CudaBlock{kRowThreads}, x + g * group, gradient + g * group,
                       result + g * group, smaller(groups - g, at_once), group, params, shared);
}

template <class T>
int launch(const void* x, const void* gradient, void* result, std::int64_t groups,
           std::int64_t group, const QuantizerParams& params, cudaStream_t stream) {
  if (groups == 0) return cudaSuccess;
  const std::int64_t at_once = kRowThreads / team_size(group);
  for_groups<<<blocks_for((groups + at_once - 1) / at_once), kRowThreads, 0, stream>>>(
      static_cast<const T*>(x), static_cast<const T*>(gradient), static_cast<T*>(result), groups,
      group, params);
  return cudaGetLastError();
}

}  // namespace

int cuda_straight_through_gradient(DType dtype, const void* x, const void* gradient, void* result,
                                   std::int64_t groups, std::int64_t group,
                                   const QuantizerParams& params, CUstream_st* stream) {
  return with_type(dtype, [&](auto type) {
    return launch<decltype(type)>(x, gradient, result, groups, group, params, stream);
  });
}

}  // namespace harness::kernels
