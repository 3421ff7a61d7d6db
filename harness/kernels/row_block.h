#pragma once

#include "harness/kernels/extremes_block.h"
#include "harness/kernels/hadamard_block.h"
#include "harness/kernels/quantize_scalar.h"

// Row steps (row_steps.h) by the block of threads that has just made the rows, in place: what it
// reads again is left to the caches. CUDA and tests alike (thread_block.h).

namespace harness::kernels {

/// A Hadamard transform, then a quantizer, or one of them, or none.
struct RowPlan {
  bool hadamard, quantize;
  HadamardPlan mixing;
  QuantizerParams params;
  std::int64_t group;
  int threads;  // of a block
};

/// Quantizes and dequantizes `groups` groups in place, at most one a team of the block.
/// @param values     [groups, group]
/// @param not_finite set to 1 when a value is not finite
template <class Block, class T>
HARNESS_INLINE void fake_quantize_of_groups(const Block& block, T* values, std::int64_t groups,
                                            std::int64_t group, const QuantizerParams& params,
                                            BlockExtremes<Compute<T>>& shared,
                                            std::int32_t* not_finite) {
  using C = Compute<T>;
  const int team = team_size(group);
  find_extremes_of_groups(block, values, groups, group, shared);
  block.each([&](int thread) {
    const std::int64_t g = thread / team;
    if (g >= groups) return;
    const Grid<C> grid = make_grid(params, extremes_of_group(shared, thread, team), C(1));
    C nothing = 0;
    for (std::int64_t j = g * group + thread % team; j < (g + 1) * group; j += team) {
      const C value = to_compute(values[j]);
      nothing += value - value;  // NaN for NaN and infinity, else 0
      values[j] = from_compute<T>(value_of(code_of(value, grid), grid, largest_finite<T>()));
    }
    if (nothing != C(0)) *not_finite = 1;
  });
}

/// The plan's steps on `count` values, whole rows.
/// @param signs  as hadamard_tile()
/// @param buffer as hadamard_tile()
template <class Block, class T>
HARNESS_INLINE void change_rows(const Block& block, const RowPlan& plan, T* values,
                                std::int64_t count, const Compute<T>* signs, Compute<T>* buffer,
                                BlockExtremes<Compute<T>>& shared, std::int32_t* not_finite) {
  if (plan.hadamard) {
    const std::int64_t tile = plan.mixing.segments * plan.mixing.m * plan.mixing.width;
    for (std::int64_t at = 0; at < count; at += tile)
      hadamard_tile(block, plan.mixing, values + at, values + at,
                    static_cast<int>(smaller(tile, count - at)), signs, buffer);
  }
  if (plan.quantize) {
    const std::int64_t groups = count / plan.group;
    const std::int64_t at_once = block.threads / team_size(plan.group);
    for (std::int64_t g = 0; g < groups; g += at_once)
      fake_quantize_of_groups(block, values + g * plan.group, smaller(at_once, groups - g),
                              plan.group, plan.params, shared, not_finite);
  }
}

}  // namespace harness::kernels
