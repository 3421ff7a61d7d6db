#pragma once

#include <immintrin.h>

#include <cstring>

#include "harness/kernels/attention_cpu.h"
#include "harness/kernels/exp.h"
#include "harness/kernels/lanes_avx512.h"

// attend() on panels in bfloat16, for the kinds of product that have them: AMX's tiles and
// AVX-512's products of pairs. Operands are what a tile register holds, 16 rows of 64 bytes: a [16,
// 32] and b [32, 16] in bfloat16, b by pairs of rows (the value of row 2 i + s in column j is the
// (2 j + s)-th of the i-th row of the register); c [16, 16] in float32.

namespace harness::cpu {
// In an unnamed namespace for the reason given in float_types.h.
namespace {

using kernels::Avx512;
using F = Avx512::F;

constexpr std::int64_t kRows = 16, kLane = 16;
constexpr std::int64_t kDepth = 32, kTile = kRows * kDepth;  // of an operand: depth and values
constexpr std::int64_t kBlocks = kPanelKeys / kLane;
// Keys between which sums are scaled to a larger maximum: their scores and weights stay in the
// first cache.
constexpr std::int64_t kSpan = 4 * kPanelKeys;
static_assert(kAttentionRows % kRows == 0);

/// A row's scores of `keys` keys (a multiple of kDepth) become weights relative to its largest
/// score so far, in bfloat16 as operand a: a row of each tile.
/// @param max   the largest score so far, not yet times `scale`
/// @param total sums of the weights so far, lane by lane
/// @return what sums so far are to be multiplied by, since the largest score has grown
HARNESS_INLINE float exponentiate(const float* scores, std::int64_t keys, float scale, float& max,
                                  float* total, Bf16* weights) {
  F top = Avx512::load(scores);
  for (std::int64_t i = kLane; i < keys; i += kLane)
    top = Avx512::max(top, Avx512::load(scores + i));
  const float largest = Avx512::reduce_max(top), before = max;
  if (largest > before) max = largest;
  const F offset = Avx512::set(max), factor = Avx512::set(scale);
  auto weight = [&](std::int64_t at) {
    return kernels::exp_nonpositive<Avx512>(
        Avx512::mul(Avx512::sub(Avx512::load(scores + at), offset), factor));
  };
  F sum = Avx512::set(0.0f);
  for (std::int64_t i = 0; i < keys; i += kDepth) {
    const F first = weight(i), second = weight(i + kLane);
    sum = Avx512::add(sum, Avx512::add(first, second));
    const __m512bh both = _mm512_cvtne2ps_pbh(second, first);
    std::memcpy(weights + i / kDepth * kTile, &both, sizeof both);
  }
  float growth = 1.0f;
  if (max != before) {
    const F grown = kernels::exp_nonpositive<Avx512>(Avx512::set((before - max) * scale));
    growth = _mm512_cvtss_f32(grown);
    sum = Avx512::add(sum, Avx512::mul(Avx512::load(total), grown));
  } else {
    sum = Avx512::add(sum, Avx512::load(total));
  }
  Avx512::store(total, sum);
  return growth;
}

/// attend() by Products, which live as long as they are needed:
/// - scores(q, keys, chunks, rows, blocks, scores): scores [kRows, kPanelKeys], in rows of kSpan, =
///   q [chunks, tile] times a panel's keys [chunks, kBlocks, tile]
/// - add<N>(weights, values, step, chunks, rows, sums, width): sums [kRows, N tiles of 16], `width`
///   floats from row to row, += weights [chunks, tile] times values [chunks, N tiles], `step`
///   values from chunk to chunk
/// Only the first `rows` rows and `blocks` blocks of 16 keys need be right.
template <class Products>
HARNESS_INLINE void attend_in_bf16(const Queries<Bf16>& queries, const Panels<Bf16>& panels,
                                   std::int64_t e, std::int64_t window, float scale,
                                   float* scratch) {
  const std::int64_t features = laid_out_features<Bf16>(e), width = value_width(e);
  const std::int64_t chunks = features / kDepth, panel_keys = features * kPanelKeys;
  const std::int64_t count = (queries.end - queries.begin) * queries.group;
  const std::int64_t rows = rounded_up(count, kRows);
  float* const sums = scratch;                                   // [rows, width]
  Bf16* const q = reinterpret_cast<Bf16*>(sums + rows * width);  // [rows / 16, chunks, tile]
  std::int64_t position[kAttentionRows];
  float max[kAttentionRows], totals[kAttentionRows][kLane];
  alignas(64) float scores[kRows][kSpan];
  alignas(64) Bf16 weights[kSpan / kDepth * kTile];

  for_queries(queries, [&](std::int64_t row, std::int64_t token, std::int64_t head) {
    const Bf16* const from = queries.q + token * queries.token_stride + head * queries.head_stride;
    Bf16* const to = q + row / kRows * kRows * features + row % kRows * kDepth;
    for (std::int64_t first = 0; first < features; first += kDepth) {
      Bf16* const part = to + first * kRows;
      std::memset(part, 0, kDepth * sizeof *part);
      std::memcpy(part, from + first,
                  static_cast<std::size_t>(least(kDepth, e - first)) * sizeof *part);
    }
    position[row] = token;
    max[row] = kLowest;
  });
  std::memset(sums, 0, static_cast<std::size_t>(rows * width) * sizeof(float));
  std::memset(totals, 0, static_cast<std::size_t>(rows) * sizeof totals[0]);

  const Products products;
  const std::int64_t first_seen = most(0, queries.begin - window + 1);
  for (std::int64_t first = first_seen / kSpan * kSpan; first < queries.end; first += kSpan) {
    for (std::int64_t row = 0; row < count; row += kRows) {
      // Behind the last query a tile's rows hold anything, and nobody reads what becomes of them.
      const std::int64_t tile_rows = least(kRows, count - row);
      // Keys of the span that the last query of the tile sees, or the first may see.
      const std::int64_t seen = least(kSpan, position[row + tile_rows - 1] + 1 - first);
      if (seen <= 0 || position[row] - window + 1 >= first + kSpan) continue;
      const std::int64_t depth = rounded_up(seen, kDepth);
      for (std::int64_t key = 0; key < seen; key += kPanelKeys)
        products.scores(q + row * features, panels.keys + (first + key) / kPanelKeys * panel_keys,
                        chunks, tile_rows, rounded_up(least(kPanelKeys, seen - key), kLane) / kLane,
                        scores[0] + key);
      for (std::int64_t r = 0; r < tile_rows; ++r) {
        hide_unseen(scores[r], first, depth, position[row + r], window);
        const float growth = exponentiate(scores[r], depth, scale, max[row + r], totals[row + r],
                                          weights + r * kDepth);
        if (growth == 1.0f) continue;
        float* const sum = sums + (row + r) * width;
        for (std::int64_t i = 0; i < width; ++i) sum[i] *= growth;
      }
      const Bf16* const values = panels.values + first * width;
      for (std::int64_t i = 0; i < width; i += kBlocks * kLane) {
        const Bf16* const from_values = values + i / kLane * kTile;
        float* const to = sums + row * width + i;
        const std::int64_t step = kDepth * width, parts = depth / kDepth;
        const std::int64_t columns = (width - i) / kLane;
        if (columns >= 4)
          products.template add<4>(weights, from_values, step, parts, tile_rows, to, width);
        else if (columns == 3)
          products.template add<3>(weights, from_values, step, parts, tile_rows, to, width);
        else if (columns == 2)
          products.template add<2>(weights, from_values, step, parts, tile_rows, to, width);
        else
          products.template add<1>(weights, from_values, step, parts, tile_rows, to, width);
      }
    }
  }
  for_queries(queries, [&](std::int64_t row, std::int64_t token, std::int64_t head) {
    Bf16* const to =
        queries.out + token * queries.out_token_stride + head * queries.out_head_stride;
    const F total = Avx512::set(Avx512::reduce_sum(Avx512::load(totals[row])));
    for (std::int64_t i = 0; i < e; i += kLane) {
      const __m256bh rounded =
          _mm512_cvtneps_pbh(Avx512::div(Avx512::load(sums + row * width + i), total));
      std::memcpy(to + i, &rounded, static_cast<std::size_t>(least(kLane, e - i)) * sizeof(Bf16));
    }
  });
}

}  // namespace
}  // namespace harness::cpu
