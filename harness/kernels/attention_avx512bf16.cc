#include <immintrin.h>

#include <cstring>

#include "harness/kernels/attention_bf16.h"

// vdpbf16ps adds to each of 16 sums the products of a pair of values with another pair.

namespace harness::cpu {
namespace {

// A block of 4 rows and 4 vectors is 16 sums, enough for a product to start every half cycle.
constexpr std::int64_t kBlockRows = 4;
static_assert(kRows % kBlockRows == 0);

HARNESS_INLINE __m512bh pairs(const Bf16* x) {
  __m512bh result;
  std::memcpy(&result, x, sizeof result);
  return result;
}
HARNESS_INLINE __m512bh pair_everywhere(const Bf16* x) {
  std::int32_t pair;
  std::memcpy(&pair, x, sizeof pair);
  return (__m512bh)_mm512_set1_epi32(pair);
}

struct PairProducts {
  HARNESS_INLINE void scores(const Bf16* q, const Bf16* keys, std::int64_t chunks,
                             std::int64_t rows, std::int64_t blocks, float* scores) const {
    constexpr std::int64_t kStep = kBlocks * kTile;
    static_assert(kBlocks == 4);
    if (blocks == 4) multiply<4, false>(q, keys, kStep, chunks, rows, scores, kSpan);
    if (blocks == 3) multiply<3, false>(q, keys, kStep, chunks, rows, scores, kSpan);
    if (blocks == 2) multiply<2, false>(q, keys, kStep, chunks, rows, scores, kSpan);
    if (blocks == 1) multiply<1, false>(q, keys, kStep, chunks, rows, scores, kSpan);
  }
  template <int kColumns>
  HARNESS_INLINE void add(const Bf16* weights, const Bf16* values, std::int64_t step,
                          std::int64_t chunks, std::int64_t rows, float* sums,
                          std::int64_t width) const {
    multiply<kColumns, true>(weights, values, step, chunks, rows, sums, width);
  }

 private:
  /// c [rows, kWidth vectors], `stride` floats from row to row, (kAdd: +)= a [chunks, tile] times b
  /// [chunks, kWidth tiles], `step` values from chunk to chunk; rows come in blocks.
  template <int kWidth, bool kAdd>
  static HARNESS_INLINE void multiply(const Bf16* a, const Bf16* b, std::int64_t step,
                                      std::int64_t chunks, std::int64_t rows, float* c,
                                      std::int64_t stride) {
    for (std::int64_t first = 0; first < rows; first += kBlockRows) {
      float* const out = c + first * stride;
      F sum[kBlockRows][kWidth];
#pragma GCC unroll 4
      for (std::int64_t r = 0; r < kBlockRows; ++r)
#pragma GCC unroll 4
        for (std::int64_t v = 0; v < kWidth; ++v)
          sum[r][v] = kAdd ? Avx512::load(out + r * stride + v * kLane) : Avx512::set(0.0f);
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
        const Bf16* const row_pairs = a + chunk * kTile + first * kDepth;
        const Bf16* const columns = b + chunk * step;
        for (std::int64_t i = 0; i < kDepth; i += 2) {
          __m512bh column[kWidth];
#pragma GCC unroll 4
          for (std::int64_t v = 0; v < kWidth; ++v)
            column[v] = pairs(columns + v * kTile + i * kLane);
#pragma GCC unroll 4
          for (std::int64_t r = 0; r < kBlockRows; ++r) {
            const __m512bh row = pair_everywhere(row_pairs + r * kDepth + i);
#pragma GCC unroll 4
            for (std::int64_t v = 0; v < kWidth; ++v)
              sum[r][v] = _mm512_dpbf16_ps(sum[r][v], row, column[v]);
          }
        }
      }
#pragma GCC unroll 4
      for (std::int64_t r = 0; r < kBlockRows; ++r)
#pragma GCC unroll 4
        for (std::int64_t v = 0; v < kWidth; ++v)
          Avx512::store(out + r * stride + v * kLane, sum[r][v]);
    }
  }
};

}  // namespace

void pack_keys(const Bf16* k, std::int64_t stride, std::int64_t tokens, std::int64_t e,
               Bf16* keys) {
  const std::int64_t features = laid_out_features<Bf16>(e);
  for (std::int64_t token = 0; token < tokens; ++token, k += stride) {
    Bf16* const panel = keys + token / kPanelKeys * kPanelKeys * features;
    Bf16* const column = panel + token % kPanelKeys / kLane * kTile + 2 * (token % kLane);
    for (std::int64_t first = 0; first < features; first += kDepth) {
      Bf16 row[kDepth] = {};
      std::memcpy(row, k + first, static_cast<std::size_t>(least(kDepth, e - first)) * sizeof *row);
      for (std::int64_t i = 0; i < kDepth; i += 2)
        std::memcpy(column + first * kPanelKeys + i / 2 * kDepth, row + i, 2 * sizeof *row);
    }
  }
}

void pack_values(const Bf16* v, std::int64_t stride, std::int64_t tokens, std::int64_t e,
                 Bf16* values) {
  const std::int64_t width = value_width(e);
  for (std::int64_t token = 0; token < rounded_up(tokens, kDepth); token += 2, v += 2 * stride) {
    Bf16* const pair = values + token / kDepth * kDepth * width + token % kDepth * kLane;
    for (std::int64_t first = 0; first < width; first += kLane) {
      Bf16 rows[2][kLane] = {};
      const std::size_t bytes = static_cast<std::size_t>(least(kLane, e - first)) * sizeof *v;
      if (token < tokens) std::memcpy(rows[0], v + first, bytes);
      if (token + 1 < tokens) std::memcpy(rows[1], v + stride + first, bytes);
      for (std::int64_t i = 0; i < kLane; ++i) {
        pair[first * kDepth + 2 * i] = rows[0][i];
        pair[first * kDepth + 2 * i + 1] = rows[1][i];
      }
    }
  }
}

void attend(const Queries<Bf16>& queries, const Panels<Bf16>& panels, std::int64_t e,
            std::int64_t window, float scale, float* scratch) {
  attend_in_bf16<PairProducts>(queries, panels, e, window, scale, scratch);
}

}  // namespace harness::cpu
