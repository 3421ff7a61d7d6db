#pragma once

#include "harness/kernels/cpu_kernels.h"
#include "harness/kernels/grid_lanes.h"

// GPTQ's columns in 16 lanes of float32, a row of the weight a lane (L: portable, AVX2 or AVX-512):
// the same operations in the same order, so the same bits. In an unnamed namespace for the reason
// given in float_types.h.

namespace harness::kernels {
namespace {

/// kLanes rows, or the first `count` of them, from `row` on. Their columns stay in the cache until
/// all of them are done.
template <class L, class Load, class Store>
HARNESS_INLINE void gptq_tile(const GptqColumns& c, std::int64_t row, const Load& load,
                              const Store& store) {
  using F = typename L::F;
  F tile[kGptqColumns];
  for (std::int64_t j = 0; j < c.updated; ++j) tile[j] = load(c.rest + j * c.rows + row, 0.0f);
  const float* u = c.upper;  // at the column's diagonal
  for (std::int64_t j = 0; j < c.count; ++j, u += c.upper_stride + 1) {
    const F zero = c.zeros ? load(c.zeros[j] + row, 0.0f) : L::set(0.0f);
    const GridLanes<L> grid(load(c.scales[j] + row, 1.0f), zero, c.lowest, c.highest,
                            largest_finite<float>());
    const F code = grid.code(tile[j]);
    const F error = L::div(L::sub(tile[j], grid.value(code)), L::set(u[0]));
    store(c.codes + j * c.rows + row, code);
    store(c.errors + j * c.rows + row, error);
    for (std::int64_t i = j + 1; i < c.updated; ++i)
      tile[i] = L::sub(tile[i], L::mul(L::set(u[i - j]), error));
  }
  for (std::int64_t j = c.count; j < c.updated; ++j) store(c.rest + j * c.rows + row, tile[j]);
}

template <class L>
void gptq_columns(const GptqColumns& c, std::int64_t begin, std::int64_t end) {
  using F = typename L::F;
  std::int64_t row = begin;
  for (; row + kLanes <= end; row += kLanes)
    gptq_tile<L>(
        c, row,
        [](const float* from, float) __attribute__((always_inline)) { return L::load(from); },
        [](float* to, F value) __attribute__((always_inline)) { L::store(to, value); });
  const int left = static_cast<int>(end - row);
  if (left > 0)
    gptq_tile<L>(
        c, row,
        [=](const float* from, float fill)
            __attribute__((always_inline)) { return L::load_part(from, left, fill); },
        [=](float* to, F value) __attribute__((always_inline)) { L::store_part(to, left, value); });
}

}  // namespace
}  // namespace harness::kernels
