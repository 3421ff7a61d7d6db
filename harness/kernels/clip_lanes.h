#pragma once

#include <cmath>
#include <cstdint>

#include "harness/kernels/grid_lanes.h"

// MSE clipping's search in 16 lanes of float32 (L: AVX2 or AVX-512): the ratio that the plain
// search of quantize_scalar.h's ratios finds, to the bit. Most ratios are left out of it, because a
// cheaper sum shows that they are worse. In an unnamed namespace for the reason given in
// float_types.h.

namespace harness::kernels {
namespace {

template <class L>
HARNESS_INLINE typename L::F power_2_4_lanes(typename L::F error) {
  using F = typename L::F;
  const F square = L::mul(error, error);
  const F y = L::max(square, L::set(kSmallestSquare));
  F r = L::inverse_fifth_root_guess(y);
  for (int step = 0; step < 3; ++step) {
    const F r2 = L::mul(r, r);
    const F y_r5 = L::mul(y, L::mul(L::mul(r2, r2), r));
    r = L::mul(r, L::sub(L::set(1.2f), L::mul(L::set(0.2f), y_r5)));
  }
  const F r2 = L::mul(r, r);
  return L::mul(square, L::mul(y, L::mul(r2, r2)));
}

/// The sum of term(value) over a group, or a part of it that reaches `enough`: then the sum does
/// too, since no rounded sum falls when a term that is not negative is added.
template <class L, class T, class Term>
HARNESS_INLINE float sum_lanes(const T* x, std::int64_t group, float enough, const Term& term) {
  using F = typename L::F;
  constexpr std::int64_t kLook = 16 * kLanes;  // values between looks at the sum
  F sum = L::set(0.0f);
  auto take = [&](F value) __attribute__((always_inline)) { sum = L::add(sum, term(value)); };
  for (; group > kLook; group -= kLook, x += kLook) {
    for (std::int64_t j = 0; j < kLook; j += kLanes) take(L::load(x + j));
    const float part = L::reduce_sum(sum);
    if (part >= enough) return part;
  }
  // A zero is represented exactly, so that the lanes behind the group's end add nothing.
  for_lanes(
      group, [&](std::int64_t j) { take(L::load(x + j)); },
      [&](std::int64_t j, int count) { take(L::load_part(x + j, count, 0.0f)); });
  return L::reduce_sum(sum);
}

/// The sum of |error|^2.4, or a part of it that reaches `enough`.
template <class L, class T>
float clipping_error_lanes(const T* x, std::int64_t group, const Grid<float>& grid, float unit,
                           float enough) {
  using F = typename L::F;
  const GridLanes<L> lanes(grid, largest_finite<T>());
  const F factor = L::set(unit);
  return sum_lanes<L>(
      x, group, enough, [&](F value) __attribute__((always_inline)) {
        const F error = L::sub(lanes.value(lanes.code(value)), value);
        return power_2_4_lanes<L>(L::mul(error, factor));
      });
}

/// The sum of error^2, or a part of it that reaches `enough`. A product with 1 / scale stands for
/// the division, and moves an error by less than kErrorSlack / error_unit().
template <class L, class T>
float squared_error_lanes(const T* x, std::int64_t group, const Grid<float>& grid, float enough) {
  using F = typename L::F;
  const F scale = L::set(grid.scale), per_scale = L::set(1.0f / grid.scale);
  const F lowest = L::set(grid.lowest - grid.zero), highest = L::set(grid.highest - grid.zero);
  return sum_lanes<L>(
      x, group, enough, [&](F value) __attribute__((always_inline)) {
        const F q = L::min(L::max(L::round(L::mul(value, per_scale)), lowest), highest);
        const F error = L::sub(value, L::mul(q, scale));
        return L::mul(error, error);
      });
}

constexpr float kErrorSlack = 0x1p-18f;
/// More than sums of this many values and a fifth root are off by, in all.
constexpr float kRounding = 1.01f;
constexpr std::int64_t kMostSummed = 65536;
/// error_unit() of values whose squares neither overflow nor vanish.
constexpr float kLeastUnit = 0x1p-40f, kMostUnit = 0x1p40f;

/// The sum of squared errors from which on a sum of |error|^2.4 is known to be above `least`,
/// without its fifth roots: |e|^2.4 is convex in e^2, so that n of them sum to at least
/// n (mean of e^2)^1.2.
/// @param largest finite value of the tensor's type: a grid that reaches beyond it ends there
/// @return infinity where this is not known to hold
HARNESS_INLINE float enough_squares(float least, std::int64_t group, float unit, float largest) {
  if (group > kMostSummed || unit < larger(kLeastUnit, 4 / largest) || unit > kMostUnit)
    return __builtin_inff();
  const float n = static_cast<float>(group);
  const float error = (powf(kRounding * least / n, 1 / 2.4f) + kErrorSlack) / unit;
  return n * error * error;
}

/// The grid of the ratio with the least error, of equal ones the first's.
template <class L, class T>
Grid<float> clipped_grid_lanes(const T* x, std::int64_t group, const QuantizerParams& params,
                               const Extremes<float>& extremes) {
  const auto grid_of = [&](int candidate) {
    return make_grid(params, extremes, clip_ratio<float>(candidate));
  };
  const float unit = error_unit(extremes);
  // Where the search begins, which decides how much of it is left out and not what it finds.
  constexpr int kStride = 8;
  int best = 0;
  float least = __builtin_inff();
  for (int candidate = 0; candidate < kClipCandidates; candidate += kStride) {
    const float squares = squared_error_lanes<L>(x, group, grid_of(candidate), least);
    if (squares < least) {
      least = squares;
      best = candidate;
    }
  }
  const int first = best;
  Grid<float> grid = grid_of(best);
  least = clipping_error_lanes<L>(x, group, grid, unit, __builtin_inff());
  float enough = enough_squares(least, group, unit, largest_finite<T>());
  for (int candidate = 0; candidate < kClipCandidates; ++candidate) {
    if (candidate == first) continue;
    const Grid<float> other = grid_of(candidate);
    if (squared_error_lanes<L>(x, group, other, enough) > enough) continue;
    // Of equal errors the first ratio's counts.
    const float limit = candidate < best ? nextafterf(least, __builtin_inff()) : least;
    const float error = clipping_error_lanes<L>(x, group, other, unit, limit);
    if (error >= limit) continue;
    grid = other;
    best = candidate;
    least = error;
    enough = enough_squares(least, group, unit, largest_finite<T>());
  }
  return grid;
}

}  // namespace
}  // namespace harness::kernels
