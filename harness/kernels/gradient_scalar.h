#pragma once

#include "harness/kernels/quantize_scalar.h"

// The gradient of fake quantization, straight through the rounding (straight_through.h), one value
// or one group at a time, shared by the CPU and CUDA. C as in quantize_scalar.h.

namespace harness::kernels {

/// The values of a group that its scale hangs on, and what each of them gets of the scale's
/// gradient: added to those that equal `high`, taken from those that equal `low`.
template <class C>
struct ExtremeShares {
  C high, low;
  C of_high = 0, of_low = 0;
};

template <class C>
HARNESS_INLINE ExtremeShares<C> extreme_shares(const QuantizerParams& params,
                                               Extremes<C> extremes) {
  if (params.scheme != Scheme::symmetric_activation) return {extremes.max, extremes.min};
  const C magnitude = larger(extremes.max, -extremes.min);
  return {magnitude, -magnitude};
}

/// @param by_scale   gradient of the scale
/// @param high_count values that equal shares.high
template <class C>
HARNESS_INLINE void share_scale_gradient(const QuantizerParams& params, const Grid<C>& grid,
                                         Extremes<C> extremes, C by_scale, C high_count,
                                         C low_count, ExtremeShares<C>& shares) {
  const C floor = C(1e-6), clip = static_cast<C>(params.clip);
  const C max = clip * extremes.max, min = clip * extremes.min;
  const C by_extreme = by_scale * static_cast<C>(params.clip / static_cast<double>(grid.highest));
  if (params.scheme == Scheme::symmetric_activation) {
    shares.of_high = shares.of_low = by_extreme / (high_count + low_count);
    return;
  }
  // Below the floor, or on its own side of zero, an extreme has no part in the grid.
  const bool has_high = max >= floor, has_low = min <= C(0);
  if (params.scheme == Scheme::asymmetric) {
    if (has_high) shares.of_high = by_extreme / high_count;
    if (has_low) shares.of_low = by_extreme / low_count;
    return;
  }
  const C step_high = larger(max, floor) / grid.highest;
  const C step_low = smaller(min, C(0)) / grid.lowest;
  const C by_low = by_scale * static_cast<C>(params.clip / static_cast<double>(-grid.lowest));
  const C part = step_high == step_low ? C(0.5) : C(1);
  if (has_high && step_high >= step_low) shares.of_high = part * by_extreme / high_count;
  if (has_low && step_low >= step_high) shares.of_low = part * by_low / low_count;
}

/// What a value passes on of the gradient `incoming`, and what it adds to the scale's gradient. As
/// gradient_lanes.h has it in vectors.
template <class C>
struct ValueGradient {
  C passed, of_scale;
};
template <class C>
HARNESS_INLINE ValueGradient<C> gradient_of_value(C value, C incoming, const Grid<C>& grid) {
  const C steps = value / grid.scale;
  const C code = round_half_even(steps) + grid.zero;
  const C clamped = smaller(larger(code, grid.lowest), grid.highest);
  const C inside = code == clamped ? C(1) : C(0);
  return {inside * incoming, incoming * ((clamped - grid.zero) - inside * steps)};
}

}  // namespace harness::kernels
