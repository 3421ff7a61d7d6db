// RMSNorm, SwiGLU and RoPE on CUDA, with the row steps on what they make, each value read from
// memory once and written once: what a block reads again right after is left to the caches.
// Compiled with -fmad=false: RoPE and the quantizer have the bits of the CPU, the others another
// order of sums and another exponential.

#include "harness/kernels/cuda_kernels.h"
#include "harness/kernels/row_block.h"
#include "harness/kernels/transformer_block.h"

namespace harness::kernels {
namespace {

constexpr std::int64_t kUnitValues = 8 * kRowThreads;

/// Rows of so many values that a block makes at once.
std::int64_t rows_of_unit(std::int64_t columns) {
  return columns < kUnitValues ? kUnitValues / columns : 1;
}

// Each makes `count` values, whole rows, from value `at` on.

template <class T>
struct Norm {
  const T* x;
  const T* weight;
  std::int64_t columns;
  Compute<T> epsilon;
  __device__ void operator()(const CudaBlock& block, T* y, std::int64_t at, std::int64_t count,
                             BlockExtremes<Compute<T>>& shared) const {
    const std::int64_t rows = count / columns, at_once = block.threads / team_size(columns);
    for (std::int64_t row = 0; row < rows; row += at_once)
      rms_norm_of_rows(block, x + at + row * columns, weight, y + at + row * columns,
                       smaller(at_once, rows - row), columns, epsilon, shared.min);
  }
};

template <class T>
struct Swiglu {
  const T* gate;
  const T* up;
  __device__ void operator()(const CudaBlock& block, T* y, std::int64_t at, std::int64_t count,
                             BlockExtremes<Compute<T>>&) const {
    swiglu_of(block, gate + at, up + at, y + at, static_cast<int>(count));
  }
};

/// A unit is a token's heads.
template <class T>
struct Rotation {
  const T* x;
  const Compute<T>* cos;
  const Compute<T>* sin;
  std::int64_t tokens;
  int heads, half;
  __device__ void operator()(const CudaBlock& block, T* y, std::int64_t at, std::int64_t count,
                             BlockExtremes<Compute<T>>&) const {
    const std::int64_t angles = at / count % tokens * half;
    rotate_token(block, x + at, cos + angles, sin + angles, y + at, heads, 2 * half, half);
  }
};

template <class T>
struct Copy {
  const T* x;
  __device__ void operator()(const CudaBlock& block, T* y, std::int64_t at, std::int64_t count,
                             BlockExtremes<Compute<T>>&) const {
    block.each([&](int thread) {
      for (std::int64_t i = thread; i < count; i += block.threads) y[at + i] = x[at + i];
    });
  }
};

/// A block makes a unit of `unit` values at a time.
template <class T, class Make>
__global__ void __launch_bounds__(kMostThreads)
    make_rows(const Make make, T* y, std::int64_t values, std::int64_t unit,
              const __grid_constant__ RowPlan plan, const Compute<T>* signs,
              std::int32_t* not_finite) {
  extern __shared__ double memory[];
  __shared__ BlockExtremes<Compute<T>> shared;
  const CudaBlock block{plan.threads};
  for (std::int64_t at = blockIdx.x * unit; at < values; at += gridDim.x * unit) {
    const std::int64_t count = smaller(unit, values - at);
    make(block, y, at, count, shared);
    change_rows(block, plan, y + at, count, signs, reinterpret_cast<Compute<T>*>(memory), shared,
                not_finite);
  }
}

template <class T, class Make>
int launch(const Make& make, void* y, std::int64_t values, std::int64_t unit,
           const CudaRowSteps& then, cudaStream_t stream) {
  if (values == 0) return cudaSuccess;
  RowPlan plan = {};
  plan.threads = kRowThreads;
  plan.quantize = then.quantize;
  plan.params = then.params;
  plan.group = then.group;
  plan.hadamard = then.hadamard;
  int bytes = 0;
  if (then.hadamard) {
    plan.mixing = hadamard_plan(then.order, then.inner);
    plan.threads = plan.mixing.threads;
    bytes = static_cast<int>(shared_values(plan.mixing) * sizeof(Compute<T>));
  }
  // More than 48 KiB are given only to who asks.
  const cudaError_t error =
      cudaFuncSetAttribute(make_rows<T, Make>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  make_rows<<<blocks_for((values + unit - 1) / unit), plan.threads, bytes, stream>>>(
      make, static_cast<T*>(y), values, unit, plan, static_cast<const Compute<T>*>(then.signs),
      then.not_finite);
  return cudaGetLastError();
}

}  // namespace

int cuda_rms_norm(DType dtype, const void* x, const void* weight, void* y, std::int64_t rows,
                  std::int64_t columns, double epsilon, const CudaRowSteps& then,
                  CUstream_st* stream) {
  return with_type(dtype, [&](auto type) {
    using T = decltype(type);
    const Norm<T> make{static_cast<const T*>(x), static_cast<const T*>(weight), columns,
                       static_cast<Compute<T>>(epsilon)};
    return launch<T>(make, y, rows * columns, rows_of_unit(columns) * columns, then, stream);
  });
}

int cuda_swiglu(DType dtype, const void* gate, const void* up, void* y, std::int64_t rows,
                std::int64_t columns, const CudaRowSteps& then, CUstream_st* stream) {
  return with_type(dtype, [&](auto type) {
    using T = decltype(type);
    const Swiglu<T> make{static_cast<const T*>(gate), static_cast<const T*>(up)};
    return launch<T>(make, y, rows * columns, rows_of_unit(columns) * columns, then, stream);
  });
}

int cuda_rotate(DType dtype, const void* x, const void* cos, const void* sin, void* y,
                std::int64_t batch, std::int64_t tokens, std::int64_t heads, std::int64_t half,
                const CudaRowSteps& then, CUstream_st* stream) {
  return with_type(dtype, [&](auto type) {
    using T = decltype(type);
    const Rotation<T> make{static_cast<const T*>(x),
                           static_cast<const Compute<T>*>(cos),
                           static_cast<const Compute<T>*>(sin),
                           tokens,
                           static_cast<int>(heads),
                           static_cast<int>(half)};
    const std::int64_t token = heads * 2 * half;
    return launch<T>(make, y, batch * tokens * token, token, then, stream);
  });
}

int cuda_change_rows(DType dtype, const void* x, void* y, std::int64_t rows, std::int64_t columns,
                     const CudaRowSteps& then, CUstream_st* stream) {
  return with_type(dtype, [&](auto type) {
    using T = decltype(type);
    return launch<T>(Copy<T>{static_cast<const T*>(x)}, y, rows * columns,
                     rows_of_unit(columns) * columns, then, stream);
  });
}

}  // namespace harness::kernels
