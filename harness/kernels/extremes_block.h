#pragma once

#include "harness/kernels/quantize_scalar.h"
#include "harness/kernels/thread_block.h"

namespace harness::kernels {

/// The extremes that each thread of a block has met; a team's first thread has its team's.
template <class C>
struct BlockExtremes {
  C min[kMostThreads], max[kMostThreads];
};

/// Of `groups` groups, at most one a team of the block. The order of values does not matter.
/// @param x [groups, group]
template <class Block, class T>
HARNESS_INLINE void find_extremes_of_groups(const Block& block, const T* x, std::int64_t groups,
                                            std::int64_t group, BlockExtremes<Compute<T>>& shared) {
  using C = Compute<T>;
  const int team = team_size(group);
  block.each([&](int thread) {
    const std::int64_t g = thread / team;
    if (g >= groups) return;
    const T* values = x + g * group;
    C min = to_compute(values[0]), max = min;
    for (std::int64_t j = thread % team; j < group; j += team) {
      const C value = to_compute(values[j]);
      min = smaller(value, min);
      max = larger(value, max);
    }
    shared.min[thread] = min;
    shared.max[thread] = max;
  });
  fold_teams(block, team, [&](int into, int from) {
    if (into / team >= groups) return;
    shared.min[into] = smaller(shared.min[from], shared.min[into]);
    shared.max[into] = larger(shared.max[from], shared.max[into]);
  });
}

/// Those of the group of a thread.
template <class C>
HARNESS_INLINE Extremes<C> extremes_of_group(const BlockExtremes<C>& shared, int thread, int team) {
  const int leader = thread / team * team;
  return {shared.min[leader], shared.max[leader]};
}

}  // namespace harness::kernels
