// The Hadamard transform on CUDA: a block a tile (hadamard_block.h), each value read once and
// written once.

#include "harness/kernels/cuda_kernels.h"
#include "harness/kernels/hadamard_block.h"

namespace harness::kernels {
namespace {

template <class T>
__global__ void __launch_bounds__(1024)
    for_tiles(const T* x, T* y, std::int64_t values, const __grid_constant__ HadamardPlan plan,
              const Compute<T>* signs) {
  extern __shared__ double memory[];
  const std::int64_t tile = plan.segments * plan.m * plan.width;
  for (std::int64_t start = blockIdx.x * tile; start < values; start += gridDim.x * tile)
    hadamard_tile(CudaBlock{plan.threads}, plan, x + start, y + start,
                  static_cast<int>(smaller(tile, values - start)), signs,
                  reinterpret_cast<Compute<T>*>(memory));
}

template <class T>
int launch(const void* x, void* y, std::int64_t values, const HadamardOrder& order,
           std::int64_t inner, const void* signs, cudaStream_t stream) {
  if (values == 0) return cudaSuccess;
  const HadamardPlan plan = hadamard_plan(order, inner);
  const std::int64_t tile = plan.segments * plan.m * plan.width;
  const int bytes = static_cast<int>(shared_values(plan) * sizeof(Compute<T>));
  // More than 48 KiB are given only to who asks.
  const cudaError_t error =
      cudaFuncSetAttribute(for_tiles<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  for_tiles<<<blocks_for((values + tile - 1) / tile), plan.threads, bytes, stream>>>(
      static_cast<const T*>(x), static_cast<T*>(y), values, plan,
      static_cast<const Compute<T>*>(signs));
  return cudaGetLastError();
}

}  // namespace

bool cuda_hadamard_fits(DType dtype, const HadamardOrder& order, std::int64_t inner) {
  int device = 0, most = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) != cudaSuccess)
    return false;
  const std::int64_t size = dtype == DType::f64 ? sizeof(double) : sizeof(float);
  if (order.m * order.power * inner > most / size) return false;
  return shared_values(hadamard_plan(order, inner)) * size <= most;
}

int cuda_hadamard(DType dtype, const void* x, void* y, std::int64_t values,
                  const HadamardOrder& order, std::int64_t inner, const void* signs,
                  CUstream_st* stream) {
  return with_type(dtype, [&](auto type) {
    return launch<decltype(type)>(x, y, values, order, inner, signs, stream);
  });
}

}  // namespace harness::kernels
