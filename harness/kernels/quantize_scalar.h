#pragma once

#include <cmath>
#include <cstdint>

#include "harness/kernels/float_types.h"

// The arithmetic of the quantizers (methods.md section 2), one value or one group at a time, shared
// by every CPU and CUDA implementation. C is float, or double for float64 tensors. True division,
// round half to even; the sources are compiled without contraction into fused multiply-add, so that
// all of them agree to the bit.
//
// Where the formulas would leave the finite numbers, and only there, they are completed:
//   - max - min of a group beyond the largest float: the step is max / levels - min / levels;
//   - the step of symmetric activations of an all-zero group is 1 (as in QuaRot's code), not 0;
//   - a dequantized value beyond the largest finite value of the tensor's type becomes that value.

namespace harness::kernels {

enum class Scheme {
  asymmetric,        // weights, activations, K and V: codes 0 .. 2^b - 1 and a zero point
  symmetric_weight,  // the smallest step that covers both extremes, codes -2^(b-1) .. 2^(b-1) - 1
  symmetric_activation,  // step from the largest magnitude (QuaRot), the same codes
};

struct QuantizerParams {
  Scheme scheme;
  int bits;       // 2 .. 8
  double clip;    // the extremes are multiplied by it
  bool mse_clip;  // search the clip ratio
};

/// MSE clipping tries the ratios 1 - i/100, i = 0 .. 79.
constexpr int kClipCandidates = 80;

template <class C>
struct Extremes {
  C min, max;
};

/// The representable values of a group: (q - zero) * scale, q in lowest .. highest.
template <class C>
struct Grid {
  C scale, zero, lowest, highest;
};

HARNESS_INLINE float round_half_even(float x) { return rintf(x); }
HARNESS_INLINE double round_half_even(double x) { return rint(x); }
template <class C>
HARNESS_INLINE C larger(C a, C b) {
  return a > b ? a : b;
}
template <class C>
HARNESS_INLINE C smaller(C a, C b) {
  return a < b ? a : b;
}

/// @param extremes of the group's values
/// @param ratio    MSE clipping's candidate, 1 without it
template <class C>
HARNESS_INLINE Grid<C> make_grid(const QuantizerParams& params, Extremes<C> extremes, C ratio) {
  const C floor = C(1e-6);
  const C clip = static_cast<C>(params.clip) * ratio;
  const C min = clip * extremes.min;
  const C max = clip * extremes.max;
  Grid<C> grid;
  if (params.scheme == Scheme::asymmetric) {
    const C levels = static_cast<C>((1 << params.bits) - 1);
    const C top = larger(max, floor);
    const C bottom = smaller(min, C(0));
    const C range = top - bottom;
    const bool overflow = range > largest_finite<C>();
    grid.scale = overflow ? top / levels - bottom / levels : larger(range, floor) / levels;
    grid.zero = round_half_even(-bottom / grid.scale) + C(0);  // + 0: never a negative zero
    grid.lowest = C(0);
    grid.highest = levels;
    return grid;
  }
  const C half = static_cast<C>(1 << (params.bits - 1));
  grid.zero = C(0);
  grid.lowest = -half;
  grid.highest = half - C(1);
  if (params.scheme == Scheme::symmetric_weight) {
    grid.scale = larger(larger(max, floor) / grid.highest, smaller(min, C(0)) / grid.lowest);
  } else {
    grid.scale = larger(larger(max, -min), C(0)) / grid.highest;
    if (grid.scale == C(0)) grid.scale = C(1);
  }
  return grid;
}

/// The integer code of a value, as a float.
template <class C>
HARNESS_INLINE C code_of(C x, const Grid<C>& grid) {
  const C q = round_half_even(x / grid.scale) + grid.zero;
  return smaller(larger(q, grid.lowest), grid.highest);
}

/// @param limit largest finite value of the tensor's type
template <class C>
HARNESS_INLINE C value_of(C code, const Grid<C>& grid, C limit) {
  const C value = (code - grid.zero) * grid.scale;
  return smaller(larger(value, -limit), limit);
}

template <class C>
HARNESS_INLINE C clip_ratio(int candidate) {
  return static_cast<C>(100 - candidate) / C(100);
}

/// A power of two that brings the values of a group near 1, so that sums of error^2.4 neither
/// overflow nor vanish. The errors scale exactly, so the order of the candidates does not change.
template <class C>
HARNESS_INLINE C error_unit(Extremes<C> extremes);
template <>
HARNESS_INLINE float error_unit<float>(Extremes<float> extremes) {
  const std::uint32_t exponent = bits_of(larger(extremes.max, -extremes.min)) >> 23 & 0xffu;
  return float_of((exponent > 252u ? 1u : 254u - exponent) << 23);
}
template <>
HARNESS_INLINE double error_unit<double>(Extremes<double> extremes) {
  const double magnitude = larger(extremes.max, -extremes.min);
  std::uint64_t bits;
  memcpy(&bits, &magnitude, sizeof bits);
  const std::uint64_t exponent = bits >> 52 & 0x7ffu;
  bits = (exponent > 2044u ? 1u : 2046u - exponent) << 52;
  double unit;
  memcpy(&unit, &bits, sizeof unit);
  return unit;
}

// |e|^2.4 = y (y)^(1/5) with y = e^2, from multiplications and additions only: powf differs between
// libraries. y^(-1/5) starts from the exponent bits divided by -5 (off by a few percent at most)
// and takes Newton steps r (6 - y r^5) / 5, each squaring the error; below 2^-100 the fifth root
// stands still.
constexpr float kSmallestSquare = 0x1p-100f;
constexpr float kFifthRootMagic = 1277970875.0f;  // (6/5) (127 - 0.045) 2^23

HARNESS_INLINE float inverse_fifth_root_guess(float y) {
  const float bits = static_cast<float>(static_cast<std::int32_t>(bits_of(y)));
  const float guess = kFifthRootMagic - bits * 0.2f;
  return float_of(static_cast<std::uint32_t>(static_cast<std::int32_t>(guess)));
}
HARNESS_INLINE double inverse_fifth_root_guess(double y) {
  return inverse_fifth_root_guess(static_cast<float>(y));
}

template <class C>
HARNESS_INLINE C power_2_4(C error) {
  constexpr int kSteps = sizeof(C) == sizeof(float) ? 3 : 4;
  const C square = error * error;
  const C y = larger(square, static_cast<C>(kSmallestSquare));
  C r = inverse_fifth_root_guess(y);
  for (int step = 0; step < kSteps; ++step) {
    const C r2 = r * r;
    const C y_r5 = y * (r2 * r2 * r);
    r = r * (C(1.2) - C(0.2) * y_r5);
  }
  const C r2 = r * r;
  return square * (y * (r2 * r2));
}

/// Sums run in 16 lanes, value j in lane j mod 16, and are then folded by halves: the order that
/// every implementation can follow.
constexpr int kLanes = 16;
template <class C>
HARNESS_INLINE C fold_lanes(C (&lanes)[kLanes]) {
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  return lanes[0];
}

}  // namespace harness::kernels
