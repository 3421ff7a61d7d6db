#include <cstring>

#include "harness/kernels/attention_cpu.h"
#include "harness/kernels/exp.h"
#include "harness/kernels/lanes_avx512.h"

namespace harness::cpu {
namespace {

using kernels::Avx512;
using F = Avx512::F;

constexpr std::int64_t kLane = 16;
// A tile of 6 rows and 4 vectors is 24 sums, and leaves room for a row of b and a value of a among
// the 32 registers: a load serves 4 or 6 multiply-adds.
constexpr std::int64_t kRows = 6, kVectors = 4;
static_assert(kAttentionRows % kRows == 0 && kPanelKeys == kVectors * kLane);

/// c = scale * c + a b for kRows rows and kWidth vectors; a [kRows, depth], b [depth, kWidth
/// vectors]. No scale: c = a b.
template <std::int64_t kWidth>
HARNESS_INLINE void multiply_tile(const float* a, std::int64_t a_stride, const float* b,
                                  std::int64_t b_stride, std::int64_t depth, const float* scale,
                                  float* c, std::int64_t c_stride) {
  F sum[kRows][kWidth];
#pragma GCC unroll 6
  for (std::int64_t r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (std::int64_t v = 0; v < kWidth; ++v)
      sum[r][v] =
          scale ? Avx512::mul(Avx512::load(c + r * c_stride + v * kLane), Avx512::set(scale[r]))
                : Avx512::set(0.0f);
  for (std::int64_t i = 0; i < depth; ++i) {
    F row[kWidth];
#pragma GCC unroll 4
    for (std::int64_t v = 0; v < kWidth; ++v) row[v] = Avx512::load(b + i * b_stride + v * kLane);
#pragma GCC unroll 6
    for (std::int64_t r = 0; r < kRows; ++r) {
      const F value = Avx512::set(a[r * a_stride + i]);
#pragma GCC unroll 4
      for (std::int64_t v = 0; v < kWidth; ++v)
        sum[r][v] = _mm512_fmadd_ps(value, row[v], sum[r][v]);
    }
  }
#pragma GCC unroll 6
  for (std::int64_t r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (std::int64_t v = 0; v < kWidth; ++v)
      Avx512::store(c + r * c_stride + v * kLane, sum[r][v]);
}

/// The same for any number of vectors.
HARNESS_INLINE void multiply(const float* a, std::int64_t a_stride, const float* b,
                             std::int64_t b_stride, std::int64_t depth, const float* scale,
                             float* c, std::int64_t c_stride, std::int64_t vectors) {
  for (; vectors >= kVectors; vectors -= kVectors, b += kVectors * kLane, c += kVectors * kLane)
    multiply_tile<kVectors>(a, a_stride, b, b_stride, depth, scale, c, c_stride);
  if (vectors == 3) multiply_tile<3>(a, a_stride, b, b_stride, depth, scale, c, c_stride);
  if (vectors == 2) multiply_tile<2>(a, a_stride, b, b_stride, depth, scale, c, c_stride);
  if (vectors == 1) multiply_tile<1>(a, a_stride, b, b_stride, depth, scale, c, c_stride);
}

/// A tile's scores of a panel, [kRows, kPanelKeys], become weights relative to the largest score of
/// their row so far.
/// @param max    those scores [kRows]
/// @param totals sums of the weights so far, lane by lane
/// @param growth what sums so far are to be multiplied by, since the largest scores have grown
HARNESS_INLINE void exponentiate(float* scores, float* max, float (*totals)[kLane], float* growth) {
  const F before = Avx512::load_part(max, kRows, 0.0f);
  F after = before;
  for (std::int64_t r = 0; r < kRows; ++r) {
    const float* const row = scores + r * kPanelKeys;
    F top = Avx512::load(row);
    for (std::int64_t v = 1; v < kVectors; ++v)
      top = Avx512::max(top, Avx512::load(row + v * kLane));
    const F largest = Avx512::set(Avx512::reduce_max(top));
    after = _mm512_mask_max_ps(after, static_cast<__mmask16>(1u << r), before, largest);
  }
  Avx512::store_part(max, kRows, after);
  Avx512::store(growth, kernels::exp_nonpositive<Avx512>(Avx512::sub(before, after)));
  for (std::int64_t r = 0; r < kRows; ++r) {
    F total = Avx512::mul(Avx512::load(totals[r]), Avx512::set(growth[r]));
    for (std::int64_t v = 0; v < kVectors; ++v) {
      float* const at = scores + r * kPanelKeys + v * kLane;
      const F weight =
          kernels::exp_nonpositive<Avx512>(Avx512::sub(Avx512::load(at), Avx512::set(max[r])));
      Avx512::store(at, weight);
      total = Avx512::add(total, weight);
    }
    Avx512::store(totals[r], total);
  }
}

/// visit(first, count, lanes) for each vector of the row x [e], whose last may have less than
/// kLane values; behind them are zeros.
template <class T, class Visit>
HARNESS_INLINE void for_vectors(const T* x, std::int64_t e, const Visit& visit) {
  for (std::int64_t i = 0; i < e; i += kLane) {
    const int count = static_cast<int>(least(kLane, e - i));
    visit(i, count, Avx512::load_part(x + i, count, 0.0f));
  }
}

}  // namespace

template <class T>
void pack_keys(const T* k, std::int64_t stride, std::int64_t tokens, std::int64_t e, float* keys) {
  for (std::int64_t first = 0; first < tokens; first += kPanelKeys, keys += e * kPanelKeys) {
    const std::int64_t count = least(kPanelKeys, tokens - first);
    for (std::int64_t key = 0; key < count; ++key, k += stride)
      for_vectors(k, e, [&](std::int64_t i, int lanes, F x) {
        float values[kLane];
        Avx512::store(values, x);
        for (int lane = 0; lane < lanes; ++lane) keys[(i + lane) * kPanelKeys + key] = values[lane];
      });
  }
}

template <class T>
void pack_values(const T* v, std::int64_t stride, std::int64_t tokens, std::int64_t e,
                 float* values) {
  const std::int64_t width = value_width(e);
  for (std::int64_t token = 0; token < tokens; ++token, v += stride, values += width)
    for_vectors(v, e, [&](std::int64_t i, int, F x) { Avx512::store(values + i, x); });
}

template <class T>
void attend(const Queries<T>& queries, const Panels<float>& panels, std::int64_t e,
            std::int64_t window, float scale, float* scratch) {
  const std::int64_t width = value_width(e), count = (queries.end - queries.begin) * queries.group;
  const std::int64_t rows = rounded_up(count, kRows);
  float* const q = scratch;          // [rows, e]
  float* const sums = q + rows * e;  // [rows, width]
  std::int64_t position[kAttentionRows];
  float max[kAttentionRows], totals[kAttentionRows][kLane];
  float scores[kRows][kPanelKeys], growth[kLane];

  auto lay_out = [&](std::int64_t row, std::int64_t token, std::int64_t head) {
    const T* const from = queries.q + token * queries.token_stride + head * queries.head_stride;
    for_vectors(from, e, [&](std::int64_t i, int count, F x) {
      Avx512::store_part(q + row * e + i, count, Avx512::mul(x, Avx512::set(scale)));
    });
    position[row] = token;
    max[row] = kLowest;
  };
  for_queries(queries, lay_out);
  // Behind the last query stand copies of it: tiles are whole.
  for (std::int64_t row = count; row < rows; ++row)
    lay_out(row, queries.end - 1, queries.group - 1);
  std::memset(sums, 0, static_cast<std::size_t>(rows * width) * sizeof(float));
  std::memset(totals, 0, static_cast<std::size_t>(rows) * sizeof totals[0]);

  const std::int64_t first_seen = most(0, queries.begin - window + 1);
  for (std::int64_t panel = first_seen / kPanelKeys; panel * kPanelKeys < queries.end; ++panel) {
    const std::int64_t first = panel * kPanelKeys;
    const float* const keys = panels.keys + panel * e * kPanelKeys;
    const float* const values = panels.values + first * width;
    for (std::int64_t row = 0; row < rows; row += kRows) {
      // Keys of the panel that the last query of the tile sees, or the first may see.
      const std::int64_t depth = least(kPanelKeys, position[row + kRows - 1] + 1 - first);
      if (depth <= 0 || position[row] - window + 1 >= first + kPanelKeys) continue;
      multiply(q + row * e, e, keys, kPanelKeys, e, nullptr, scores[0], kPanelKeys,
               (depth + kLane - 1) / kLane);
      for (std::int64_t r = 0; r < kRows; ++r)
        hide_unseen(scores[r], first, kPanelKeys, position[row + r], window);
      exponentiate(scores[0], max + row, totals + row, growth);
      multiply(scores[0], kPanelKeys, values, width, depth, growth, sums + row * width, width,
               width / kLane);
    }
  }

  for_queries(queries, [&](std::int64_t row, std::int64_t token, std::int64_t head) {
    T* const to = queries.out + token * queries.out_token_stride + head * queries.out_head_stride;
    const F total = Avx512::set(Avx512::reduce_sum(Avx512::load(totals[row])));
    for_vectors(sums + row * width, e, [&](std::int64_t i, int count, F sum) {
      Avx512::store_part(to + i, count, Avx512::div(sum, total));
    });
  });
}

template void pack_keys(const float*, std::int64_t, std::int64_t, std::int64_t, float*);
template void pack_keys(const Bf16*, std::int64_t, std::int64_t, std::int64_t, float*);
template void pack_keys(const Half*, std::int64_t, std::int64_t, std::int64_t, float*);
template void pack_values(const float*, std::int64_t, std::int64_t, std::int64_t, float*);
template void pack_values(const Bf16*, std::int64_t, std::int64_t, std::int64_t, float*);
template void pack_values(const Half*, std::int64_t, std::int64_t, std::int64_t, float*);
template void attend(const Queries<float>&, const Panels<float>&, std::int64_t, std::int64_t, float,
                     float*);
template void attend(const Queries<Bf16>&, const Panels<float>&, std::int64_t, std::int64_t, float,
                     float*);
template void attend(const Queries<Half>&, const Panels<float>&, std::int64_t, std::int64_t, float,
                     float*);

}  // namespace harness::cpu
