#pragma once

#include "harness/kernels/cpu_kernels.h"
#include "harness/kernels/grid_lanes.h"

// The quantizers in 16 lanes of float32 (L: AVX2 or AVX-512), operation by operation the arithmetic
// of quantize_scalar.h. In an unnamed namespace for the reason given in float_types.h. float64 has
// no vectorised form.

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

/// The sum of |error|^2.4, or a part of it that reaches `least`: then the sum does too, since no
/// rounded sum falls when a term that is not negative is added.
template <class L, class T>
float clipping_error_lanes(const T* x, std::int64_t group, const Grid<float>& grid, float unit,
                           float least) {
  using F = typename L::F;
  constexpr std::int64_t kLook = 16 * kLanes;  // values between looks at the sum
  const GridLanes<L> lanes(grid, largest_finite<T>());
  const F factor = L::set(unit);
  F sum = L::set(0.0f);
  auto take = [&](F value) __attribute__((always_inline)) {
    const F error = L::sub(lanes.value(lanes.code(value)), value);
    sum = L::add(sum, power_2_4_lanes<L>(L::mul(error, factor)));
  };
  for (; group > kLook; group -= kLook, x += kLook) {
    for (std::int64_t j = 0; j < kLook; j += kLanes) take(L::load(x + j));
    const float part = L::reduce_sum(sum);
    if (part >= least) return part;
  }
  // A zero is represented exactly, so that the lanes behind the group's end add nothing.
  for_lanes(
      group, [&](std::int64_t j) { take(L::load(x + j)); },
      [&](std::int64_t j, int count) { take(L::load_part(x + j, count, 0.0f)); });
  return L::reduce_sum(sum);
}

template <class L, class T>
bool choose_grid_lanes(const T* x, std::int64_t group, const QuantizerParams& params,
                       Grid<float>& grid) {
  Extremes<float> extremes;
  if (!find_extremes_lanes<L>(x, group, extremes)) return false;
  grid = make_grid(params, extremes, 1.0f);
  if (!params.mse_clip) return true;
  const float unit = error_unit(extremes);
  float least = clipping_error_lanes<L>(x, group, grid, unit, __builtin_inff());
  for (int candidate = 1; candidate < kClipCandidates; ++candidate) {
    const Grid<float> narrower = make_grid(params, extremes, clip_ratio<float>(candidate));
    const float error = clipping_error_lanes<L>(x, group, narrower, unit, least);
    if (error < least) {
      least = error;
      grid = narrower;
    }
  }
  return true;
}

template <class L, class T>
bool fake_quantize_lanes(const T* x, T* y, std::int64_t groups, std::int64_t group,
                         const QuantizerParams& params) {
  for (std::int64_t g = 0; g < groups; ++g, x += group, y += group) {
    Grid<float> grid;
    if (!choose_grid_lanes<L>(x, group, params, grid)) return false;
    const GridLanes<L> lanes(grid, largest_finite<T>());
    for_lanes(
        group, [&](std::int64_t j) { L::store(y + j, lanes.value(lanes.code(L::load(x + j)))); },
        [&](std::int64_t j, int count) {
          L::store_part(y + j, count, lanes.value(lanes.code(L::load_part(x + j, count, 0.0f))));
        });
  }
  return true;
}

template <class L, class T>
bool quantize_lanes(const T* w, std::uint8_t* codes, float* scales, float* zeros,
                    std::int64_t groups, std::int64_t group, const QuantizerParams& params) {
  for (std::int64_t g = 0; g < groups; ++g, w += group, codes += group) {
    Grid<float> grid;
    if (!choose_grid_lanes<L>(w, group, params, grid)) return false;
    scales[g] = grid.scale;
    if (zeros) zeros[g] = grid.zero;
    const GridLanes<L> lanes(grid, largest_finite<T>());
    for_lanes(
        group,
        [&](std::int64_t j) { L::store_codes(codes + j, kLanes, lanes.code(L::load(w + j))); },
        [&](std::int64_t j, int count) {
          L::store_codes(codes + j, count, lanes.code(L::load_part(w + j, count, 0.0f)));
        });
  }
  return true;
}

template <class L>
bool fake_quantize(DType dtype, const void* x, void* y, std::int64_t groups, std::int64_t group,
                   const QuantizerParams& params) {
  switch (dtype) {
    case DType::f32:
      return fake_quantize_lanes<L>(static_cast<const float*>(x), static_cast<float*>(y), groups,
                                    group, params);
    case DType::bf16:
      return fake_quantize_lanes<L>(static_cast<const Bf16*>(x), static_cast<Bf16*>(y), groups,
                                    group, params);
    case DType::f16:
      return fake_quantize_lanes<L>(static_cast<const Half*>(x), static_cast<Half*>(y), groups,
                                    group, params);
    case DType::f64:
      return portable_kernels().fake_quantize(dtype, x, y, groups, group, params);
  }
  return false;
}

template <class L>
bool quantize(DType dtype, const void* w, void* codes, void* scales, void* zeros,
              std::int64_t groups, std::int64_t group, const QuantizerParams& params) {
  std::uint8_t* bytes = static_cast<std::uint8_t*>(codes);
  float* steps = static_cast<float*>(scales);
  float* offsets = static_cast<float*>(zeros);
  switch (dtype) {
    case DType::f32:
      return quantize_lanes<L>(static_cast<const float*>(w), bytes, steps, offsets, groups, group,
                               params);
    case DType::bf16:
      return quantize_lanes<L>(static_cast<const Bf16*>(w), bytes, steps, offsets, groups, group,
                               params);
    case DType::f16:
      return quantize_lanes<L>(static_cast<const Half*>(w), bytes, steps, offsets, groups, group,
                               params);
    case DType::f64:
      return portable_kernels().quantize(dtype, w, codes, scales, zeros, groups, group, params);
  }
  return false;
}

}  // namespace
}  // namespace harness::kernels
