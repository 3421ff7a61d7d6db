// log-sum-exp(row) - row[target] on CUDA: a block a row, float32 exponentials, the sum over threads
// in float64. NaN where the target is no column.

#include <math_constants.h>

#include "harness/kernels/cuda_kernels.h"
#include "harness/kernels/exp.h"
#include "harness/kernels/thread_block.h"

namespace harness::kernels {
namespace {

constexpr int kThreads = 256;

/// Folds one value a thread; every thread gets the result.
template <class C, class Fold>
__device__ C fold_block(C value, Fold fold) {
  __shared__ C values[kThreads];
  __syncthreads();  // the values of the fold before have been read
  values[threadIdx.x] = value;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half)
      values[threadIdx.x] = fold(values[threadIdx.x], values[threadIdx.x + half]);
    __syncthreads();
  }
  return values[0];
}

template <class C>
struct Larger {
  __device__ C operator()(C a, C b) const { return larger(a, b); }
};
template <class C>
struct Sum {
  __device__ C operator()(C a, C b) const { return a + b; }
};

template <class T>
__global__ void token_nll_rows(const T* logits, const std::int64_t* targets, float* nll,
                               std::int64_t rows, std::int64_t vocabulary) {
  using C = Compute<T>;
  for (std::int64_t i = blockIdx.x; i < rows; i += gridDim.x) {
    const T* row = logits + i * vocabulary;
    C max = -CUDART_INF_F;
    for (std::int64_t j = threadIdx.x; j < vocabulary; j += kThreads)
      max = larger(to_compute(row[j]), max);
    max = fold_block(max, Larger<C>());
    C sum = 0;
    for (std::int64_t j = threadIdx.x; j < vocabulary; j += kThreads)
      sum += exponential(to_compute(row[j]) - max);
    const double total = fold_block(static_cast<double>(sum), Sum<double>());
    if (threadIdx.x != 0) continue;
    const std::int64_t target = targets[i];
    // The difference of the two logits first: beside a large logit log(total) would be rounded
    // away.
    nll[i] = target >= 0 && target < vocabulary
                 ? static_cast<float>(log(total) + (static_cast<double>(max) -
                                                    static_cast<double>(to_compute(row[target]))))
                 : CUDART_NAN_F;
  }
}

template <class T>
int launch(const void* logits, const std::int64_t* targets, float* nll, std::int64_t rows,
           std::int64_t vocabulary, cudaStream_t stream) {
  token_nll_rows<<<blocks_for(rows), kThreads, 0, stream>>>(static_cast<const T*>(logits), targets,
                                                            nll, rows, vocabulary);
  return cudaGetLastError();
}

}  // namespace

int cuda_token_nll(DType dtype, const void* logits, const std::int64_t* targets, float* nll,
                   std::int64_t rows, std::int64_t vocabulary, CUstream_st* stream) {
  return with_type(dtype, [&](auto type) {
    return launch<decltype(type)>(logits, targets, nll, rows, vocabulary, stream);
  });
}

}  // namespace harness::kernels
