// The plain reference: one value after the other, as quantize_scalar.h says it. The vectorised
// forms must equal it to the bit.

#include <cmath>

#include "harness/kernels/cpu_kernels.h"
#include "harness/kernels/divergence_lanes.h"
#include "harness/kernels/gptq_lanes.h"
#include "harness/kernels/gradient_lanes.h"
#include "harness/kernels/lanes_portable.h"
#include "harness/kernels/quantize_scalar.h"
#include "harness/kernels/token_nll_lanes.h"

namespace harness::kernels {
namespace {

/// @return false when a value is not finite
template <class T>
bool find_extremes(const T* x, std::int64_t group, Extremes<Compute<T>>& extremes) {
  using C = Compute<T>;
  extremes = {to_compute(x[0]), to_compute(x[0])};
  C not_finite = 0;
  for (std::int64_t j = 0; j < group; ++j) {
    const C value = to_compute(x[j]);
    extremes.min = smaller(value, extremes.min);
    extremes.max = larger(value, extremes.max);
    not_finite += value - value;  // NaN for NaN and infinity, else 0
  }
  return not_finite == C(0);
}

template <class T>
Compute<T> clipping_error(const T* x, std::int64_t group, const Grid<Compute<T>>& grid,
                          Compute<T> unit) {
  using C = Compute<T>;
  C lanes[kLanes] = {};
  for (std::int64_t j = 0; j < group; ++j) {
    const C value = to_compute(x[j]);
    const C error = value_of(code_of(value, grid), grid, largest_finite<T>()) - value;
    lanes[j % kLanes] += power_2_4(error * unit);
  }
  return fold_lanes(lanes);
}

template <class T>
bool choose_grid(const T* x, std::int64_t group, const QuantizerParams& params,
                 Grid<Compute<T>>& grid) {
  using C = Compute<T>;
  Extremes<C> extremes;
  if (!find_extremes(x, group, extremes)) return false;
  grid = make_grid(params, extremes, C(1));
  if (!params.mse_clip) return true;
  const C unit = error_unit(extremes);
  C least = clipping_error(x, group, grid, unit);
  for (int candidate = 1; candidate < kClipCandidates; ++candidate) {
    const Grid<C> narrower = make_grid(params, extremes, clip_ratio<C>(candidate));
    const C error = clipping_error(x, group, narrower, unit);
    if (error < least) {
      least = error;
      grid = narrower;
    }
  }
  return true;
}

template <class T>
bool fake_quantize_typed(const T* x, T* y, std::int64_t groups, std::int64_t group,
                         const QuantizerParams& params) {
  for (std::int64_t g = 0; g < groups; ++g, x += group, y += group) {
    Grid<Compute<T>> grid;
    if (!choose_grid(x, group, params, grid)) return false;
    for (std::int64_t j = 0; j < group; ++j)
      y[j] = from_compute<T>(value_of(code_of(to_compute(x[j]), grid), grid, largest_finite<T>()));
  }
  return true;
}

template <class T>
bool quantize_typed(const T* w, void* codes, Compute<T>* scales, Compute<T>* zeros,
                    std::int64_t groups, std::int64_t group, const QuantizerParams& params) {
  const bool is_unsigned = params.scheme == Scheme::asymmetric;
  for (std::int64_t g = 0; g < groups; ++g) {
    Grid<Compute<T>> grid;
    if (!choose_grid(w + g * group, group, params, grid)) return false;
    scales[g] = grid.scale;
    if (zeros) zeros[g] = grid.zero;
    for (std::int64_t j = g * group; j < (g + 1) * group; ++j) {
      const Compute<T> code = code_of(to_compute(w[j]), grid);
      if (is_unsigned)
        static_cast<std::uint8_t*>(codes)[j] = static_cast<std::uint8_t>(code);
      else
        static_cast<std::int8_t*>(codes)[j] = static_cast<std::int8_t>(code);
    }
  }
  return true;
}

bool fake_quantize(DType dtype, const void* x, void* y, std::int64_t groups, std::int64_t group,
                   const QuantizerParams& params) {
  return with_type(dtype, [&]<class T>(T) {
    return fake_quantize_typed(static_cast<const T*>(x), static_cast<T*>(y), groups, group, params);
  });
}

bool quantize(DType dtype, const void* w, void* codes, void* scales, void* zeros,
              std::int64_t groups, std::int64_t group, const QuantizerParams& params) {
  return with_type(dtype, [&]<class T>(T) {
    return quantize_typed(static_cast<const T*>(w), codes, static_cast<Compute<T>*>(scales),
                          static_cast<Compute<T>*>(zeros), groups, group, params);
  });
}

}  // namespace

const CpuKernels& portable_kernels() {
  static constexpr CpuKernels kernels{"portable",
                                      fake_quantize,
                                      quantize,
                                      straight_through_gradient<Portable>,
                                      gptq_columns<Portable>,
                                      token_nll<Portable>,
                                      log_sum_exp<Portable>,
                                      divergences<Portable>};
  return kernels;
}

}  // namespace harness::kernels
