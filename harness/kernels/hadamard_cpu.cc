#include "harness/kernels/hadamard_cpu.h"

#include <cstring>

#include "harness/kernels/clones.h"

namespace harness::cpu {

namespace {

constexpr std::int64_t kLanes = 16;

/// kCount neighbours as one value. GCC's vector extension: it is lowered to what the clone's
/// processor has, while loops over small arrays were left as scalars.
template <class C, std::int64_t kCount>
struct Lanes {
  typedef C Type __attribute__((vector_size(kCount * sizeof(C))));
};
template <class Vector, class C>
HARNESS_INLINE void load_lanes(Vector& value, const C* from) {
  std::memcpy(&value, from, sizeof value);
}
template <class Vector, class C>
HARNESS_INLINE void store_lanes(const Vector& value, C* to) {
  std::memcpy(to, &value, sizeof value);
}

/// Sylvester's H_16 on 16 neighbours: a product with the matrix, since butterflies inside a vector
/// would be shuffles.
template <class C>
struct Sixteen {
  typename Lanes<C, kLanes>::Type row[kLanes];
  HARNESS_INLINE Sixteen() {
    for (unsigned i = 0; i < kLanes; ++i)
      for (unsigned j = 0; j < kLanes; ++j) row[i][j] = __builtin_parity(i & j) ? C(-1) : C(1);
  }
  HARNESS_INLINE void apply(C* x) const {
    typename Lanes<C, kLanes>::Type sum = x[0] * row[0];
#pragma GCC unroll 16
    for (std::int64_t i = 1; i < kLanes; ++i) sum += x[i] * row[i];
    store_lanes(sum, x);
  }
};

/// Sylvester's matrix on `power` vectors of `inner` values.
template <class C>
HARNESS_INLINE void butterflies(C* x, std::int64_t power, std::int64_t inner,
                                const Sixteen<C>& sixteen) {
  std::int64_t stride = 1;
  if (inner == 1 && power >= kLanes) {
    for (std::int64_t i = 0; i < power; i += kLanes) sixteen.apply(x + i);
    stride = kLanes;
  }
  for (; stride < power; stride *= 2) {
    const std::int64_t width = stride * inner;
    for (C* at = x; at < x + power * inner; at += 2 * width) {
      C* first = at;
      C* second = at + width;
#pragma GCC ivdep
      for (std::int64_t i = 0; i < width; ++i) {
        const C a = first[i], b = second[i];
        first[i] = a + b;
        second[i] = a - b;
      }
    }
  }
}

/// y[b] = sum_a x[a] * signs[a, b] over m vectors of `width` values, for kRows values of b and
/// kVectors times kCount lanes.
template <std::int64_t kRows, std::int64_t kVectors, std::int64_t kCount, class C>
HARNESS_INLINE void mix_tile(const C* x, C* y, const C* signs, std::int64_t m, std::int64_t width) {
  using Vector = typename Lanes<C, kCount>::Type;
  Vector sum[kRows][kVectors] = {};
  for (std::int64_t a = 0; a < m; ++a) {
    Vector value[kVectors];
    for (std::int64_t v = 0; v < kVectors; ++v) load_lanes(value[v], x + a * width + v * kCount);
    for (std::int64_t b = 0; b < kRows; ++b)
      for (std::int64_t v = 0; v < kVectors; ++v) sum[b][v] += value[v] * signs[a * m + b];
  }
  for (std::int64_t b = 0; b < kRows; ++b)
    for (std::int64_t v = 0; v < kVectors; ++v) store_lanes(sum[b][v], y + b * width + v * kCount);
}

/// All b, for the lanes that x and y start at. m is a multiple of 4.
template <std::int64_t kVectors, std::int64_t kCount, class C>
HARNESS_INLINE void mix_lanes(const C* x, C* y, const C* signs, std::int64_t m,
                              std::int64_t width) {
  for (std::int64_t b = 0; b < m; b += 4)
    mix_tile<4, kVectors, kCount>(x, y + b * width, signs + b, m, width);
}

template <class C>
HARNESS_INLINE void mix(const C* x, C* y, const C* signs, std::int64_t m, std::int64_t width) {
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= width; i += 2 * kLanes)
    mix_lanes<2, kLanes>(x + i, y + i, signs, m, width);
  for (; i + kLanes <= width; i += kLanes) mix_lanes<1, kLanes>(x + i, y + i, signs, m, width);
  for (; i + 4 <= width; i += 4) mix_lanes<1, 4>(x + i, y + i, signs, m, width);
  for (; i < width; ++i) mix_lanes<1, 1>(x + i, y + i, signs, m, width);
}

template <class T, class C>
HARNESS_INLINE void hadamard_rows(const T* x, T* y, std::int64_t rows, const HadamardOrder& order,
                                  std::int64_t inner, const C* signs, C scale, C* scratch) {
  const std::int64_t width = order.power * inner, block = order.m * width;
  const Sixteen<C> sixteen;
  C* mixed = order.m == 1 ? scratch : scratch + block;
  for (std::int64_t r = 0; r < rows * order.blocks; ++r, x += block, y += block) {
    for (std::int64_t i = 0; i < block; ++i) scratch[i] = load(x[i]);
    for (std::int64_t a = 0; a < order.m; ++a)
      butterflies(scratch + a * width, order.power, inner, sixteen);
    if (order.m > 1) mix(scratch, mixed, signs, order.m, width);
    for (std::int64_t i = 0; i < block; ++i) y[i] = round_to<T>(mixed[i] * scale);
  }
}

}  // namespace

HARNESS_CLONES void hadamard(const float* x, float* y, std::int64_t rows,
                             const HadamardOrder& order, std::int64_t inner, const float* signs,
                             float scale, float* scratch) {
  hadamard_rows(x, y, rows, order, inner, signs, scale, scratch);
}
HARNESS_CLONES void hadamard(const std::uint16_t* x, std::uint16_t* y, std::int64_t rows,
                             const HadamardOrder& order, std::int64_t inner, const float* signs,
                             float scale, float* scratch) {
  hadamard_rows(x, y, rows, order, inner, signs, scale, scratch);
}
HARNESS_CLONES void hadamard(const double* x, double* y, std::int64_t rows,
                             const HadamardOrder& order, std::int64_t inner, const double* signs,
                             double scale, double* scratch) {
  hadamard_rows(x, y, rows, order, inner, signs, scale, scratch);
}

}  // namespace harness::cpu
