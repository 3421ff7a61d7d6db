#pragma once

#include <cmath>

#include "harness/kernels/exp.h"
#include "harness/kernels/thread_block.h"

// What a LLaMA block does between its matrix products, by a block of threads: the formulas of
// transformer_cpu.h, CUDA and tests alike (thread_block.h).

namespace harness::kernels {

HARNESS_INLINE float square_root(float x) { return sqrtf(x); }
HARNESS_INLINE double square_root(double x) { return sqrt(x); }

/// y = cast(x / sqrt(mean(x^2) + epsilon)) * weight for each of `rows` rows, at most one a team of
/// the block. Reads x twice, the second time right after the first.
/// @param x, y    [rows, columns]; weight [columns]
/// @param squares sums that the threads share, one each
template <class Block, class T>
HARNESS_INLINE void rms_norm_of_rows(const Block& block, const T* x, const T* weight, T* y,
                                     std::int64_t rows, std::int64_t columns, Compute<T> epsilon,
                                     Compute<T>* squares) {
  using C = Compute<T>;
  const int team = team_size(columns);
  block.each([&](int thread) {
    const std::int64_t row = thread / team;
    C sum = 0;
    if (row < rows)
      for (std::int64_t i = thread % team; i < columns; i += team) {
        const C value = to_compute(x[row * columns + i]);
        sum += value * value;
      }
    squares[thread] = sum;
  });
  fold_teams(block, team, [&](int into, int from) { squares[into] += squares[from]; });
  block.each([&](int thread) {
    const std::int64_t row = thread / team;
    if (row >= rows) return;
    const C mean = squares[thread / team * team] / static_cast<C>(columns);
    const C scale = C(1) / square_root(mean + epsilon);
    for (std::int64_t i = thread % team; i < columns; i += team) {
      const T normed = cast_to<T>(to_compute(x[row * columns + i]) * scale);
      y[row * columns + i] = cast_to<T>(to_compute(normed) * to_compute(weight[i]));
    }
  });
}

/// y = cast(silu(gate)) * up, `count` values; y may be gate.
template <class Block, class T>
HARNESS_INLINE void swiglu_of(const Block& block, const T* gate, const T* up, T* y, int count) {
  block.each([&](int thread) {
    for (int i = thread; i < count; i += block.threads) {
      const Compute<T> g = to_compute(gate[i]);
      const T silu = cast_to<T>(g / (Compute<T>(1) + exponential(-g)));
      y[i] = cast_to<T>(to_compute(silu) * to_compute(up[i]));
    }
  });
}

/// Rotates the pairs (i, i + half) of a token's `heads` vectors of 2 * half values, `stride` values
/// apart in x and y, by the same angles: cos, sin [half].
template <class Block, class T>
HARNESS_INLINE void rotate_token(const Block& block, const T* x, const Compute<T>* cos,
                                 const Compute<T>* sin, T* y, int heads, std::int64_t stride,
                                 int half) {
  using C = Compute<T>;
  block.each([&](int thread) {
    for (int p = thread; p < heads * half; p += block.threads) {
      const int i = p % half;
      const std::int64_t at = p / half * stride + i;
      const C first = to_compute(x[at]), second = to_compute(x[at + half]);
      y[at] = cast_to<T>(first * cos[i] - second * sin[i]);
      y[at + half] = cast_to<T>(second * cos[i] + first * sin[i]);
    }
  });
}

}  // namespace harness::kernels
