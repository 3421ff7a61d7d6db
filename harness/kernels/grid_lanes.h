#pragma once

#include <cstdint>

#include "harness/kernels/quantize_scalar.h"

// What the kernels that quantize in 16 lanes of float32 (L: portable, AVX2 or AVX-512) share. In an
// unnamed namespace for the reason given in float_types.h.

namespace harness::kernels {
namespace {

/// Calls vector(j) for each whole 16 values of a group and tail(j, count) for what is left.
template <class Vector, class Tail>
HARNESS_INLINE void for_lanes(std::int64_t group, Vector&& vector, Tail&& tail) {
  std::int64_t j = 0;
  for (; j + kLanes <= group; j += kLanes) vector(j);
  if (j < group) tail(j, static_cast<int>(group - j));
}

template <class L, class T>
HARNESS_INLINE bool find_extremes_lanes(const T* x, std::int64_t group, Extremes<float>& extremes) {
  using F = typename L::F;
  const float start = to_compute(x[0]);
  F min = L::set(start), max = min, not_finite = L::set(0.0f);
  auto take = [&](F value) __attribute__((always_inline)) {
    min = L::min(value, min);
    max = L::max(value, max);
    not_finite = L::add(not_finite, L::sub(value, value));  // NaN for NaN and infinity, else 0
  };
  for_lanes(
      group, [&](std::int64_t j) { take(L::load(x + j)); },
      [&](std::int64_t j, int count) { take(L::load_part(x + j, count, start)); });
  extremes = {L::reduce_min(min), L::reduce_max(max)};
  return L::reduce_sum(not_finite) == 0.0f;
}

/// Grids in registers: one for all lanes, or one a lane.
template <class L>
struct GridLanes {
  typename L::F scale, zero, lowest, highest, limit;

  HARNESS_INLINE GridLanes(const Grid<float>& grid, float largest)
      : GridLanes(L::set(grid.scale), L::set(grid.zero), grid.lowest, grid.highest, largest) {}
  HARNESS_INLINE GridLanes(typename L::F scales, typename L::F zeros, float least, float most,
                           float largest)
      : scale(scales),
        zero(zeros),
        lowest(L::set(least)),
        highest(L::set(most)),
        limit(L::set(largest)) {}

  HARNESS_INLINE typename L::F code(typename L::F x) const {
    const typename L::F q = L::add(L::round(L::div(x, scale)), zero);
    return L::min(L::max(q, lowest), highest);
  }
  HARNESS_INLINE typename L::F value(typename L::F code) const {
    const typename L::F y = L::mul(L::sub(code, zero), scale);
    return L::min(L::max(y, L::sub(L::set(0.0f), limit)), limit);
  }
};

}  // namespace
}  // namespace harness::kernels
