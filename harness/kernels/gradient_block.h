#pragma once

#include "harness/kernels/extremes_block.h"
#include "harness/kernels/gradient_scalar.h"

namespace harness::kernels {

/// What the threads of a block tell each other, a place each: extremes, and sums over the values.
template <class C>
struct GradientShared {
  BlockExtremes<C> extremes;
  C by_scale[kRowThreads], high_count[kRowThreads], low_count[kRowThreads];
  bool reached[kRowThreads];  // the thread holds an extreme
};

/// The gradient of `groups` groups, at most one a team of the block. Reads x for the extremes, x
/// and `gradient` for what passes, which it writes, and again only where a thread met an extreme.
/// @param x, gradient, result [groups, group]
template <class Block, class T>
HARNESS_INLINE void gradient_of_groups(const Block& block, const T* x, const T* gradient, T* result,
                                       std::int64_t groups, std::int64_t group,
                                       const QuantizerParams& params,
                                       GradientShared<Compute<T>>& shared) {
  using C = Compute<T>;
  const int team = team_size(group);
  find_extremes_of_groups(block, x, groups, group, shared.extremes);
  block.each([&](int thread) {
    const std::int64_t g = thread / team;
    if (g >= groups) return;
    const Extremes<C> extremes = extremes_of_group(shared.extremes, thread, team);
    const Grid<C> grid = make_grid(params, extremes, C(1));
    const ExtremeShares<C> shares = extreme_shares(params, extremes);
    C by_scale = 0, high_count = 0, low_count = 0;
    for (std::int64_t j = g * group + thread % team; j < (g + 1) * group; j += team) {
      const C value = to_compute(x[j]);
      const ValueGradient<C> each = gradient_of_value(value, to_compute(gradient[j]), grid);
      by_scale += each.of_scale;
      high_count += value == shares.high ? C(1) : C(0);
      low_count += value == shares.low ? C(1) : C(0);
      result[j] = cast_to<T>(each.passed);
    }
    shared.by_scale[thread] = by_scale;
    shared.high_count[thread] = high_count;
    shared.low_count[thread] = low_count;
    shared.reached[thread] = high_count + low_count > C(0);
  });
  fold_teams(block, team, [&](int into, int from) {
    if (into / team >= groups) return;
    shared.by_scale[into] += shared.by_scale[from];
    shared.high_count[into] += shared.high_count[from];
    shared.low_count[into] += shared.low_count[from];
  });

  block.each([&](int thread) {
    const std::int64_t g = thread / team;
    if (g >= groups || !shared.reached[thread]) return;
    const int leader = thread / team * team;
    const Extremes<C> extremes = extremes_of_group(shared.extremes, thread, team);
    ExtremeShares<C> shares = extreme_shares(params, extremes);
    share_scale_gradient(params, make_grid(params, extremes, C(1)), extremes,
                         shared.by_scale[leader], shared.high_count[leader],
                         shared.low_count[leader], shares);
    for (std::int64_t j = g * group + thread % team; j < (g + 1) * group; j += team) {
      const C value = to_compute(x[j]);
      C sum = to_compute(result[j]);  // 0 or a value of `gradient`: exact in T
      if (value == shares.high) sum += shares.of_high;
      if (value == shares.low) sum -= shares.of_low;
      result[j] = cast_to<T>(sum);
    }
  });
}

}  // namespace harness::kernels
