// The quantizers on CUDA: the arithmetic of quantize_scalar.h, so the bits of the CPU. Compiled
// with -fmad=false.

#include "harness/kernels/cuda_kernels.h"
#include "harness/kernels/thread_block.h"

namespace harness::kernels {
namespace {

constexpr int kWarp = 32;
constexpr int kBlock = 256;
// A warp takes a group up to this size, a whole block a larger one.
constexpr std::int64_t kWarpGroup = 2048;
constexpr unsigned kEveryLane = 0xffffffffu;

/// The extremes over the kThreads threads that share a group; every one of them gets the result.
template <int kThreads, class C>
__device__ Extremes<C> shared_extremes(Extremes<C> extremes) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    extremes.min = smaller(__shfl_xor_sync(kEveryLane, extremes.min, offset), extremes.min);
    extremes.max = larger(__shfl_xor_sync(kEveryLane, extremes.max, offset), extremes.max);
  }
  if constexpr (kThreads > kWarp) {
    constexpr int kWarps = kThreads / kWarp;
    __shared__ C lows[kWarps], highs[kWarps];
    __syncthreads();  // the values of the group before have been read
    if (threadIdx.x % kWarp == 0) {
      lows[threadIdx.x / kWarp] = extremes.min;
      highs[threadIdx.x / kWarp] = extremes.max;
    }
    __syncthreads();
    for (int warp = 0; warp < kWarps; ++warp) {
      extremes.min = smaller(lows[warp], extremes.min);
      extremes.max = larger(highs[warp], extremes.max);
    }
  }
  return extremes;
}

template <int kThreads, class T>
__device__ Extremes<Compute<T>> find_extremes(const T* x, std::int64_t group,
                                              std::int32_t* not_finite) {
  using C = Compute<T>;
  const C start = to_compute(x[0]);
  Extremes<C> extremes{start, start};
  C sum = 0;
  for (std::int64_t j = threadIdx.x; j < group; j += kThreads) {
    const C value = to_compute(x[j]);
    extremes.min = smaller(value, extremes.min);
    extremes.max = larger(value, extremes.max);
    sum += value - value;  // NaN for NaN and infinity, else 0
  }
  if (sum != C(0)) *not_finite = 1;
  return shared_extremes<kThreads>(extremes);
}

/// The clip ratio of least error: 16 candidates at a time, each on 16 threads, one a lane of the
/// sum.
template <class T>
__device__ Grid<Compute<T>> search_clip(const T* x, std::int64_t group,
                                        const QuantizerParams& params,
                                        Extremes<Compute<T>> extremes) {
  using C = Compute<T>;
  static_assert(kBlock / kLanes == 16 && kClipCandidates % 16 == 0, "whole rounds of candidates");
  __shared__ C errors[kClipCandidates];
  __syncthreads();  // the errors of the group before have been read
  const C unit = error_unit(extremes);
  const int lane = threadIdx.x % kLanes;
  for (int candidate = threadIdx.x / kLanes; candidate < kClipCandidates;
       candidate += kBlock / kLanes) {
    const Grid<C> grid = make_grid(params, extremes, clip_ratio<C>(candidate));
    C sum = 0;
    for (std::int64_t j = lane; j < group; j += kLanes) {
      const C value = to_compute(x[j]);
      const C error = value_of(code_of(value, grid), grid, largest_finite<T>()) - value;
      sum += power_2_4(error * unit);
    }
    for (int half = kLanes / 2; half > 0; half /= 2)  // as fold_lanes
      sum += __shfl_down_sync(kEveryLane, sum, half, kLanes);
    if (lane == 0) errors[candidate] = sum;
  }
  __syncthreads();
  int best = 0;
  for (int candidate = 1; candidate < kClipCandidates; ++candidate)
    if (errors[candidate] < errors[best]) best = candidate;
  return make_grid(params, extremes, clip_ratio<C>(best));
}

/// Threads (kThreads, kBlock / kThreads): each row of threads takes one group after the other.
/// Write is called as write(group index, grid) once, and write(index of a value, value, grid) for
/// each value.
template <int kThreads, bool kSearch, class T, class Write>
__global__ void for_groups(const T* x, std::int64_t groups, std::int64_t group,
                           QuantizerParams params, std::int32_t* not_finite, Write write) {
  static_assert(!kSearch || kThreads == kBlock, "the search takes a whole block");
  using C = Compute<T>;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.y;
  for (std::int64_t g = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
       g < groups; g += stride) {
    const T* values = x + g * group;
    const Extremes<C> extremes = find_extremes<kThreads>(values, group, not_finite);
    Grid<C> grid;
    if constexpr (kSearch)
      grid = search_clip(values, group, params, extremes);
    else
      grid = make_grid(params, extremes, C(1));
    if (threadIdx.x == 0) write.grid(g, grid);
    for (std::int64_t j = threadIdx.x; j < group; j += kThreads)
      write.value(g * group + j, to_compute(values[j]), grid);
  }
}

template <class T>
struct WriteValues {
  T* y;
  __device__ void grid(std::int64_t, const Grid<Compute<T>>&) const {}
  __device__ void value(std::int64_t i, Compute<T> x, const Grid<Compute<T>>& grid) const {
    y[i] = from_compute<T>(value_of(code_of(x, grid), grid, largest_finite<T>()));
  }
};

template <class T>
struct WriteCodes {
  std::uint8_t* codes;
  Compute<T>* scales;
  Compute<T>* zeros;
  __device__ void grid(std::int64_t g, const Grid<Compute<T>>& grid) const {
    scales[g] = grid.scale;
    if (zeros) zeros[g] = grid.zero;
  }
  /// The low byte: two's complement serves int8 and uint8 codes alike.
  __device__ void value(std::int64_t i, Compute<T> x, const Grid<Compute<T>>& grid) const {
    codes[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(code_of(x, grid)));
  }
};

template <class T, class Write>
int launch(const T* x, std::int64_t groups, std::int64_t group, const QuantizerParams& params,
           std::int32_t* not_finite, Write write, cudaStream_t stream) {
  const int threads = params.mse_clip || group > kWarpGroup ? kBlock : kWarp;
  const std::int64_t rows = kBlock / threads;
  const dim3 block(static_cast<unsigned>(threads), static_cast<unsigned>(rows));
  const unsigned blocks = blocks_for((groups + rows - 1) / rows);
  if (params.mse_clip)
    for_groups<kBlock, true>
        <<<blocks, block, 0, stream>>>(x, groups, group, params, not_finite, write);
  else if (threads == kBlock)
    for_groups<kBlock, false>
        <<<blocks, block, 0, stream>>>(x, groups, group, params, not_finite, write);
  else
    for_groups<kWarp, false>
        <<<blocks, block, 0, stream>>>(x, groups, group, params, not_finite, write);
  return cudaGetLastError();
}

template <class T>
int fake_quantize(const void* x, void* y, std::int64_t groups, std::int64_t group,
                  const QuantizerParams& params, std::int32_t* not_finite, cudaStream_t stream) {
  return launch(static_cast<const T*>(x), groups, group, params, not_finite,
                WriteValues<T>{static_cast<T*>(y)}, stream);
}

template <class T>
int quantize(const void* w, void* codes, void* scales, void* zeros, std::int64_t groups,
             std::int64_t group, const QuantizerParams& params, std::int32_t* not_finite,
             cudaStream_t stream) {
  const WriteCodes<T> write{static_cast<std::uint8_t*>(codes), static_cast<Compute<T>*>(scales),
                            static_cast<Compute<T>*>(zeros)};
  return launch(static_cast<const T*>(w), groups, group, params, not_finite, write, stream);
}

}  // namespace

int cuda_fake_quantize(DType dtype, const void* x, void* y, std::int64_t groups, std::int64_t group,
                       const QuantizerParams& params, std::int32_t* not_finite,
                       CUstream_st* stream) {
  return with_type(dtype, [&](auto type) {
    return fake_quantize<decltype(type)>(x, y, groups, group, params, not_finite, stream);
  });
}

int cuda_quantize(DType dtype, const void* w, void* codes, void* scales, void* zeros,
                  std::int64_t groups, std::int64_t group, const QuantizerParams& params,
                  std::int32_t* not_finite, CUstream_st* stream) {
  return with_type(dtype, [&](auto type) {
    return quantize<decltype(type)>(w, codes, scales, zeros, groups, group, params, not_finite,
                                    stream);
  });
}

}  // namespace harness::kernels
