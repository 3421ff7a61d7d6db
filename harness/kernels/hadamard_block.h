#pragma once

#include <cmath>

#include "harness/kernels/hadamard_matrix.h"
#include "harness/kernels/quantize_scalar.h"
#include "harness/kernels/thread_block.h"

// The Hadamard transform by a block of threads. A tile of memory, one segment of m * power * inner
// values or several short ones, is read once and written once; in between it lies in memory that
// the threads share. In a phase each thread takes up to 16 values a stride apart through 1 to 4
// steps of butterflies in its registers; the product with Paley's H_m comes last. CUDA and tests
// alike (thread_block.h).

namespace harness::kernels {

/// A phase of butterflies: over `radix` values that are `stride` apart. Radix 1 copies.
struct HadamardPass {
  int stride, radix;
};

/// How a block goes about a tile; made once a launch.
struct HadamardPlan {
  int m, width;  // a segment is m vectors of `width` values
  int segments;  // of a tile
  int threads;   // of a block
  int padding;   // value i of a tile lies at i + (i >> padding)
  double scale;
  int passes;
  HadamardPass pass[8];
};

/// Where value i of a tile lies. A value in 32 is left free where inner is 1: strides of powers of
/// two would otherwise meet in one bank. place(a) + place(b) is place(a + b) where a and b have no
/// bit in common, and where a is a multiple of the width.
HARNESS_INLINE int place(const HadamardPlan& plan, int i) { return i + (i >> plan.padding); }

inline std::int64_t shared_values(const HadamardPlan& plan) {
  return place(plan, plan.segments * plan.m * plan.width);
}

/// @param order of a segment whose values an int can count
inline HadamardPlan hadamard_plan(const HadamardOrder& order, std::int64_t inner) {
  constexpr int kTile = 4096, kBits = 4;
  HadamardPlan plan = {};
  plan.m = static_cast<int>(order.m);
  plan.width = static_cast<int>(order.power * inner);
  const int segment = plan.m * plan.width;
  plan.segments = segment < kTile ? kTile / segment : 1;
  plan.threads = kRowThreads;
  while (plan.threads < kMostThreads && plan.threads * 32 < segment) plan.threads *= 2;
  plan.padding = inner == 1 && order.power >= 32 ? 5 : 31;
  plan.scale = 1 / std::sqrt(static_cast<double>(order.m * order.power));

  int bits = 0;
  while (order.power >> (bits + 1) > 0) ++bits;
  HadamardPass ascending[8];
  int count = 0, stride = static_cast<int>(inner);
  for (int left = (bits + kBits - 1) / kBits; left > 0; --left) {
    const int step = (bits + left - 1) / left;
    ascending[count++] = {stride, 1 << step};
    stride <<= step;
    bits -= step;
  }
  // Neighbours read neighbours: from x with the largest stride, to y not with a short one.
  if (count > 0) plan.pass[plan.passes++] = ascending[count - 1];
  for (int i = 0; i + 1 < count; ++i) plan.pass[plan.passes++] = ascending[i];
  if (count == 0 || (plan.m == 1 && plan.pass[count - 1].stride < 16))
    plan.pass[plan.passes++] = {1, 1};
  return plan;
}

/// @param load  (base, step) -> value base + step of the tile; base and step have no bit in common
///              where inner is 1
/// @param store (base, step, value)
template <int kRadix, class C, class Block, class Load, class Store>
HARNESS_INLINE void butterflies(const Block& block, int count, int stride, const Load& load,
                                const Store& store) {
  block.each([&](int thread) {
    for (int p = thread; p < count / kRadix; p += block.threads) {
      const int base = p + p / stride * stride * (kRadix - 1);
      C value[kRadix];
      HARNESS_UNROLL
      for (int i = 0; i < kRadix; ++i) value[i] = load(base, i * stride);
      HARNESS_UNROLL
      for (int half = 1; half < kRadix; half *= 2) {
        HARNESS_UNROLL
        for (int i = 0; i < kRadix; ++i)
          if ((i & half) == 0) {
            const C a = value[i], b = value[i + half];
            value[i] = a + b;
            value[i + half] = a - b;
          }
      }
      HARNESS_UNROLL
      for (int i = 0; i < kRadix; ++i) store(base, i * stride, value[i]);
    }
  });
}

template <class C, class Block, class Load, class Store>
HARNESS_INLINE void run_pass(const Block& block, const HadamardPass& pass, int count,
                             const Load& load, const Store& store) {
  switch (pass.radix) {
    case 1:
      return butterflies<1, C>(block, count, pass.stride, load, store);
    case 2:
      return butterflies<2, C>(block, count, pass.stride, load, store);
    case 4:
      return butterflies<4, C>(block, count, pass.stride, load, store);
    case 8:
      return butterflies<8, C>(block, count, pass.stride, load, store);
    default:
      return butterflies<16, C>(block, count, pass.stride, load, store);
  }
}

/// Entries (a, b) to (a, b + 3) of H_m.
template <class C>
struct alignas(16) FourSigns {
  C of[4];
};

HARNESS_INLINE float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
HARNESS_INLINE double multiply_add(double a, double b, double c) { return fma(a, b, c); }

/// y[b] = scale * sum_a signs[a, b] of vector a, the sums in the CPU's order: a thread has 4 values
/// of b in 4 columns at a time. m is a multiple of 4. The products are exact.
template <class Block, class T, class C>
HARNESS_INLINE void mix(const Block& block, const HadamardPlan& plan, int count, const C* buffer,
                        T* y, const C* signs) {
  constexpr int kColumns = 4, kRows = 4;
  const int m = plan.m, width = plan.width, pitch = place(plan, width);
  const int columns = count / m, apart = (columns + kColumns - 1) / kColumns;
  const C scale = static_cast<C>(plan.scale);
  const auto* rows = reinterpret_cast<const FourSigns<C>*>(signs);
  block.each([&](int thread) {
    for (int p = thread; p < apart * (m / kRows); p += block.threads) {
      const int b = p / apart * kRows, first = p % apart;
      int from[kColumns], to[kColumns];
      HARNESS_UNROLL
      for (int k = 0; k < kColumns; ++k) {
        const int column = smaller(first + k * apart, columns - 1);
        to[k] = column / width * (m * width) + column % width;
        from[k] = place(plan, to[k]);
      }
      C sum[kColumns][kRows] = {};
      for (int a = 0; a < m; ++a) {
        const FourSigns<C> sign = rows[(a * m + b) / kRows];
        HARNESS_UNROLL
        for (int k = 0; k < kColumns; ++k) {
          const C value = buffer[from[k] + a * pitch];
          HARNESS_UNROLL
          for (int r = 0; r < kRows; ++r) sum[k][r] = multiply_add(value, sign.of[r], sum[k][r]);
        }
      }
      HARNESS_UNROLL
      for (int k = 0; k < kColumns; ++k) {
        if (first + k * apart < columns) {
          HARNESS_UNROLL
          for (int r = 0; r < kRows; ++r)
            y[to[k] + (b + r) * width] = cast_to<T>(sum[k][r] * scale);
        }
      }
    }
  });
}

/// The tile that x and y start at.
/// @param count  its values, whole segments
/// @param signs  [m, m] +1 and -1, at a multiple of 16 bytes: H_m or its transpose; not read where
/// m
///               is 1
/// @param buffer shared_values(plan) values that the threads share
template <class Block, class T>
HARNESS_INLINE void hadamard_tile(const Block& block, const HadamardPlan& plan, const T* x, T* y,
                                  int count, const Compute<T>* signs, Compute<T>* buffer) {
  using C = Compute<T>;
  const C scale = static_cast<C>(plan.scale);
  const auto from_x = [&](int base, int step) { return to_compute(x[base + step]); };
  const auto to_y = [&](int base, int step, C value) {
    y[base + step] = cast_to<T>(value * scale);
  };
  const auto from_shared = [&](int base, int step) {
    return buffer[place(plan, base) + place(plan, step)];
  };
  const auto to_shared = [&](int base, int step, C value) {
    buffer[place(plan, base) + place(plan, step)] = value;
  };
  // The passes between the first and one that writes y.
  const int last = plan.m == 1 ? plan.passes - 1 : plan.passes;
  if (last == 0) return run_pass<C>(block, plan.pass[0], count, from_x, to_y);
  run_pass<C>(block, plan.pass[0], count, from_x, to_shared);
  for (int i = 1; i < last; ++i) run_pass<C>(block, plan.pass[i], count, from_shared, to_shared);
  if (plan.m == 1)
    run_pass<C>(block, plan.pass[last], count, from_shared, to_y);
  else
    mix(block, plan, count, buffer, y, signs);
}

}  // namespace harness::kernels
