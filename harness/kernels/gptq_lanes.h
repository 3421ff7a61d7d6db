#pragma once

#include "harness/kernels/cpu_kernels.h"
#include "harness/kernels/grid_lanes.h"

// GPTQ's columns in 16 lanes of float32, a row of the weight a lane (L: portable, AVX2 or AVX-512):
// the same operations in the same order, so the same bits. In an unnamed namespace for the reason
// given in float_types.h.

namespace harness::kernels {
namespace {

/// kVectors times 16 rows from `row` on, or less by `load` and `store`. Their columns stay in the
/// cache until all of them are done.
template <class L, std::int64_t kVectors, class Load, class Store>
HARNESS_INLINE void gptq_tile(const GptqColumns<float>& c, std::int64_t row, const Load& load,
                              const Store& store) {
  using F = typename L::F;
  F tile[kGptqColumns][kVectors];
  const std::int64_t count = c.count, updated = c.updated;
  for (std::int64_t j = 0; j < updated; ++j)
    for (std::int64_t v = 0; v < kVectors; ++v)
      tile[j][v] = load(c.rest + j * c.rows + row + v * kLanes, 0.0f);
  const float* u = c.upper;  // at the column's diagonal
  for (std::int64_t j = 0; j < count; ++j, u += c.upper_stride + 1) {
    F error[kVectors];
    for (std::int64_t v = 0; v < kVectors; ++v) {
      const std::int64_t at = row + v * kLanes;
      const std::int64_t grids = c.group[j] * c.rows + at;
      const F zero = c.zeros ? load(c.zeros + grids, 0.0f) : L::set(0.0f);
      const GridLanes<L> grid(load(c.scales + grids, 1.0f), zero, c.lowest, c.highest,
                              largest_finite<float>());
      const F code = grid.code(tile[j][v]);
      error[v] = L::div(L::sub(tile[j][v], grid.value(code)), L::set(u[0]));
      store(c.codes + j * c.rows + at, code);
      store(c.errors + j * c.rows + at, error[v]);
    }
    for (std::int64_t i = j + 1; i < updated; ++i) {
      const F factor = L::set(u[i - j]);
      for (std::int64_t v = 0; v < kVectors; ++v)
        tile[i][v] = L::sub(tile[i][v], L::mul(factor, error[v]));
    }
  }
  for (std::int64_t j = count; j < updated; ++j)
    for (std::int64_t v = 0; v < kVectors; ++v)
      store(c.rest + j * c.rows + row + v * kLanes, tile[j][v]);
}

template <class L>
void gptq_columns(const GptqColumns<float>& c, std::int64_t begin, std::int64_t end) {
  using F = typename L::F;
  // 4 vectors: columns lie far apart, and each has its page looked up once for 4 cache lines.
  constexpr std::int64_t kVectors = 4;
  const auto load = [](const float* from, float) __attribute__((always_inline)) {
    return L::load(from);
  };
  const auto store = [](float* to, F value) __attribute__((always_inline)) { L::store(to, value); };
  std::int64_t row = begin;
  for (; row + kVectors * kLanes <= end; row += kVectors * kLanes)
    gptq_tile<L, kVectors>(c, row, load, store);
  for (; row + kLanes <= end; row += kLanes) gptq_tile<L, 1>(c, row, load, store);
  const int left = static_cast<int>(end - row);
  if (left > 0)
    gptq_tile<L, 1>(
        c, row,
        [=](const float* from, float fill)
            __attribute__((always_inline)) { return L::load_part(from, left, fill); },
        [=](float* to, F value) __attribute__((always_inline)) { L::store_part(to, left, value); });
}

}  // namespace
}  // namespace harness::kernels
