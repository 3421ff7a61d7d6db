#pragma once

#include "harness/kernels/clip_lanes.h"
#include "harness/kernels/cpu_kernels.h"
#include "harness/kernels/grid_lanes.h"

// The quantizers in 16 lanes of float32 (L: AVX2 or AVX-512), operation by operation the arithmetic
// of quantize_scalar.h. In an unnamed namespace for the reason given in float_types.h. float64 has
// no vectorised form.

namespace harness::kernels {
namespace {

template <class L, class T>
bool choose_grid_lanes(const T* x, std::int64_t group, const QuantizerParams& params,
                       Grid<float>& grid) {
  Extremes<float> extremes;
  if (!find_extremes_lanes<L>(x, group, extremes)) return false;
  grid = params.mse_clip ? clipped_grid_lanes<L>(x, group, params, extremes)
                         : make_grid(params, extremes, 1.0f);
  return true;
}

/// @param store of 16 values
template <class L, class T, class Store>
HARNESS_INLINE bool fake_quantize_groups(const T* x, T* y, std::int64_t groups, std::int64_t group,
                                         const QuantizerParams& params, const Store& store) {
  for (std::int64_t g = 0; g < groups; ++g, x += group, y += group) {
    Grid<float> grid;
    if (!choose_grid_lanes<L>(x, group, params, grid)) return false;
    const GridLanes<L> lanes(grid, largest_finite<T>());
    for_lanes(
        group, [&](std::int64_t j) { store(y + j, lanes.value(lanes.code(L::load(x + j)))); },
        [&](std::int64_t j, int count) {
          L::store_part(y + j, count, lanes.value(lanes.code(L::load_part(x + j, count, 0.0f))));
        });
  }
  return true;
}

/// Results of this many bytes leave the caches before anyone reads them: written past them, they
/// need not be read first.
constexpr std::int64_t kStreamedBytes = std::int64_t{4} << 20;

template <class L, class T>
bool fake_quantize_lanes(const T* x, T* y, std::int64_t groups, std::int64_t group,
                         const QuantizerParams& params) {
  using F = typename L::F;
  const bool streams = groups * group * static_cast<std::int64_t>(sizeof(T)) >= kStreamedBytes &&
                       group % kLanes == 0 && reinterpret_cast<std::uintptr_t>(y) % 64 == 0;
  if (!streams)
    return fake_quantize_groups<L>(
        x, y, groups, group, params,
        [](T * to, F value) __attribute__((always_inline)) { L::store(to, value); });
  const bool finite = fake_quantize_groups<L>(
      x, y, groups, group, params,
      [](T * to, F value) __attribute__((always_inline)) { L::stream(to, value); });
  _mm_sfence();  // before other threads are told
  return finite;
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
