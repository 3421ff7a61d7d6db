#pragma once

#include "harness/kernels/cpu_kernels.h"
#include "harness/kernels/gradient_scalar.h"
#include "harness/kernels/grid_lanes.h"

// The gradient of fake quantization, straight through the rounding (straight_through.h), in 16
// lanes of float32 (L: portable, AVX2 or AVX-512): the same operations in the same order, so the
// same bits. In an unnamed namespace for the reason given in float_types.h.

namespace harness::kernels {
namespace {

template <class L, class T>
void gradient_of_group(const T* x, const T* gradient, T* result, std::int64_t group,
                       const QuantizerParams& params) {
  using F = typename L::F;
  Extremes<float> extremes;
  find_extremes_lanes<L>(x, group, extremes);
  const Grid<float> grid = make_grid(params, extremes, 1.0f);
  const GridLanes<L> lanes(grid, largest_finite<float>());
  ExtremeShares<float> shares = extreme_shares(params, extremes);
  const F high = L::set(shares.high), low = L::set(shares.low);

  F by_scale = L::set(0.0f), high_count = by_scale, low_count = by_scale;
  auto take = [&](F value, F incoming, F counted) __attribute__((always_inline)) {
    const F steps = L::div(value, lanes.scale);
    const F code = L::add(L::round(steps), lanes.zero);
    const F clamped = L::min(L::max(code, lanes.lowest), lanes.highest);
    const F inside = L::one_where_equal(code, clamped);
    const F of_scale = L::sub(L::sub(clamped, lanes.zero), L::mul(inside, steps));
    by_scale = L::add(by_scale, L::mul(incoming, of_scale));
    high_count = L::add(high_count, L::one_where_equal(counted, high));
    low_count = L::add(low_count, L::one_where_equal(counted, low));
    return L::mul(inside, incoming);
  };
  for_lanes(
      group,
      [&](std::int64_t j) {
        const F value = L::load(x + j);
        L::store(result + j, take(value, L::load(gradient + j), value));
      },
      [&](std::int64_t j, int count) {
        const F value = L::load_part(x + j, count, 0.0f);
        const F counted = L::load_part(x + j, count, __builtin_nanf(""));  // equals no extreme
        L::store_part(result + j, count,
                      take(value, L::load_part(gradient + j, count, 0.0f), counted));
      });
  share_scale_gradient(params, grid, extremes, L::reduce_sum(by_scale), L::reduce_sum(high_count),
                       L::reduce_sum(low_count), shares);

  // What `result` holds is 0 or a value of `gradient`: exact in T.
  const F of_high = L::set(shares.of_high), of_low = L::set(shares.of_low);
  auto add = [&](F value, F passed) __attribute__((always_inline)) {
    const F sum = L::add(passed, L::mul(L::one_where_equal(value, high), of_high));
    return L::sub(sum, L::mul(L::one_where_equal(value, low), of_low));
  };
  for_lanes(
      group,
      [&](std::int64_t j) { L::store(result + j, add(L::load(x + j), L::load(result + j))); },
      [&](std::int64_t j, int count) {
        L::store_part(result + j, count,
                      add(L::load_part(x + j, count, 0.0f), L::load_part(result + j, count, 0.0f)));
      });
}

template <class L>
void straight_through_gradient(DType dtype, const void* x, const void* gradient, void* result,
                               std::int64_t groups, std::int64_t group,
                               const QuantizerParams& params) {
  auto run = [&]<class T>(const T* values) {
    const T* incoming = static_cast<const T*>(gradient);
    T* outgoing = static_cast<T*>(result);
    for (std::int64_t g = 0; g < groups; ++g)
      gradient_of_group<L>(values + g * group, incoming + g * group, outgoing + g * group, group,
                           params);
  };
  switch (dtype) {
    case DType::f32:
      return run(static_cast<const float*>(x));
    case DType::bf16:
      return run(static_cast<const Bf16*>(x));
    case DType::f16:
    case DType::f64:
      break;  // straight_through.cc has them
  }
}

}  // namespace
}  // namespace harness::kernels
