#pragma once

#include "harness/kernels/gptq_columns.h"
#include "harness/kernels/quantize_scalar.h"
#include "harness/kernels/thread_block.h"

namespace harness::kernels {

/// GPTQ's columns for the rows from `first` on, a row of the weight a thread. A column takes the
/// errors of all before it when its turn comes, in their order: the bits of the form that gives
/// each error to all columns behind it, without a store in between. Threads share nothing.
/// @param errors [count, threads] in memory that is near
template <class Block, class C>
HARNESS_INLINE void gptq_of_rows(const Block& block, const GptqColumns<C>& c, std::int64_t first,
                                 C* errors) {
  block.each([&](int thread) {
    const std::int64_t row = first + thread;
    if (row >= c.rows) return;
    for (std::int64_t j = 0; j < c.updated; ++j) {
      const C* u = c.upper + j;  // down the column
      const std::int64_t before = smaller(j, c.count);
      C rest = c.rest[j * c.rows + row];
      for (std::int64_t i = 0; i < before; ++i)
        rest -= u[i * c.upper_stride] * errors[i * block.threads + thread];
      if (j >= c.count) {
        c.rest[j * c.rows + row] = rest;
        continue;
      }
      const std::int64_t at = c.group[j] * c.rows + row;
      const Grid<C> grid{c.scales[at], c.zeros ? c.zeros[at] : C(0), c.lowest, c.highest};
      const C code = code_of(rest, grid);
      const C error = (rest - value_of(code, grid, largest_finite<C>())) / u[j * c.upper_stride];
      c.codes[j * c.rows + row] = code;
      c.errors[j * c.rows + row] = error;
      errors[j * block.threads + thread] = error;
    }
  });
}

}  // namespace harness::kernels
