#pragma once

#include <cstdint>

#include "harness/kernels/float_types.h"

// How CUDA kernels are written so that tests can run them on the CPU: what a block of threads does
// is a function of the block, in phases.
//   block.each([&](int thread) { ... });   every thread runs the phase, then waits for the others
// From one phase to the next values stay in memory that the threads share; outside of phases stands
// only what is the same for all of them. A test's block runs the threads one after the other, in
// any order.

// In front of a loop whose body must see its counter as a constant, as arrays in registers need.
#if defined(__CUDA_ARCH__)
#define HARNESS_UNROLL _Pragma("unroll")
#else
#define HARNESS_UNROLL
#endif

namespace harness::kernels {

/// Threads of a block that takes rows, or groups, of values; and of any block at most.
constexpr int kRowThreads = 256, kMostThreads = 1024;

/// Threads that share a row: about 16 values each, so that a block takes several short rows at
/// once.
HARNESS_INLINE int team_size(std::int64_t row) {
  int size = 16;
  while (size < kRowThreads && size * 16 < row) size *= 2;
  return size;
}

/// Calls fold(into, from) for pairs of threads, until the first thread of each team has all.
template <class Block, class Fold>
HARNESS_INLINE void fold_teams(const Block& block, int team, Fold&& fold) {
  for (int half = team / 2; half > 0; half /= 2)
    block.each([&](int thread) {
      if (thread % team < half) fold(thread, thread + half);
    });
}

/// A block of one thread, for the CPU where nothing faster is needed.
struct OneThread {
  static constexpr int threads = 1;
  template <class Phase>
  HARNESS_INLINE void each(Phase&& phase) const {
    phase(0);
  }
};

#if defined(__CUDACC__)
struct CudaBlock {
  int threads;
  template <class Phase>
  HARNESS_INLINE void each(Phase&& phase) const {
#if defined(__CUDA_ARCH__)
    phase(static_cast<int>(threadIdx.x));
    __syncthreads();
#endif
  }
};

/// Blocks for `tiles` pieces of work; each takes every so many of them.
inline unsigned blocks_for(std::int64_t tiles) {
  constexpr std::int64_t kMaxBlocks = 1 << 20;
  return static_cast<unsigned>(tiles < kMaxBlocks ? tiles : kMaxBlocks);
}
#endif

}  // namespace harness::kernels
