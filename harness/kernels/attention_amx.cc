#include <immintrin.h>

#include "harness/kernels/amx_tiles.h"
#include "harness/kernels/attention_bf16.h"

// tdpbf16ps adds a tile a times a tile b to a tile c.

namespace harness::cpu {
namespace {

using kernels::kTileRowBytes;

constexpr std::int64_t kSpanBytes = kSpan * static_cast<std::int64_t>(sizeof(float));

/// The compiler does not know that the load of a tile reads memory.
HARNESS_INLINE void before_tiles_are_loaded() { asm volatile("" ::: "memory"); }

struct TileProducts {
  TileProducts() { _tile_loadconfig(&kernels::kTileShapes); }
  ~TileProducts() { _tile_release(); }

  HARNESS_INLINE void scores(const Bf16* q, const Bf16* keys, std::int64_t chunks,
                             std::int64_t /*rows*/, std::int64_t /*blocks*/, float* scores) const {
    before_tiles_are_loaded();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (; chunks > 0; --chunks, q += kTile, keys += kBlocks * kTile) {
      _tile_loadd(4, q, kTileRowBytes);
      _tile_loadd(5, keys, kTileRowBytes);
      _tile_dpbf16ps(0, 4, 5);
      _tile_loadd(6, keys + kTile, kTileRowBytes);
      _tile_dpbf16ps(1, 4, 6);
      _tile_loadd(5, keys + 2 * kTile, kTileRowBytes);
      _tile_dpbf16ps(2, 4, 5);
      _tile_loadd(6, keys + 3 * kTile, kTileRowBytes);
      _tile_dpbf16ps(3, 4, 6);
    }
    _tile_stored(0, scores, kSpanBytes);
    _tile_stored(1, scores + kLane, kSpanBytes);
    _tile_stored(2, scores + 2 * kLane, kSpanBytes);
    _tile_stored(3, scores + 3 * kLane, kSpanBytes);
  }

  template <int kColumns>
  HARNESS_INLINE void add(const Bf16* weights, const Bf16* values, std::int64_t step,
                          std::int64_t chunks, std::int64_t /*rows*/, float* sums,
                          std::int64_t width) const {
    const std::int64_t stride = width * static_cast<std::int64_t>(sizeof(float));
    before_tiles_are_loaded();
    _tile_loadd(0, sums, stride);
    if constexpr (kColumns > 1) _tile_loadd(1, sums + kLane, stride);
    if constexpr (kColumns > 2) _tile_loadd(2, sums + 2 * kLane, stride);
    if constexpr (kColumns > 3) _tile_loadd(3, sums + 3 * kLane, stride);
    for (; chunks > 0; --chunks, weights += kTile, values += step) {
      _tile_loadd(4, weights, kTileRowBytes);
      _tile_loadd(5, values, kTileRowBytes);
      _tile_dpbf16ps(0, 4, 5);
      if constexpr (kColumns > 1) {
        _tile_loadd(6, values + kTile, kTileRowBytes);
        _tile_dpbf16ps(1, 4, 6);
      }
      if constexpr (kColumns > 2) {
        _tile_loadd(5, values + 2 * kTile, kTileRowBytes);
        _tile_dpbf16ps(2, 4, 5);
      }
      if constexpr (kColumns > 3) {
        _tile_loadd(6, values + 3 * kTile, kTileRowBytes);
        _tile_dpbf16ps(3, 4, 6);
      }
    }
    _tile_stored(0, sums, stride);
    if constexpr (kColumns > 1) _tile_stored(1, sums + kLane, stride);
    if constexpr (kColumns > 2) _tile_stored(2, sums + 2 * kLane, stride);
    if constexpr (kColumns > 3) _tile_stored(3, sums + 3 * kLane, stride);
  }
};

}  // namespace

void attend_in_tiles(const Queries<Bf16>& queries, const Panels<Bf16>& panels, std::int64_t e,
                     std::int64_t window, float scale, float* scratch) {
  attend_in_bf16<TileProducts>(queries, panels, e, window, scale, scratch);
}

}  // namespace harness::cpu
