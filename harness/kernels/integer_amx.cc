// AMX: a tile instruction multiplies 16 rows by 64 inputs by 16 outputs.

#include <immintrin.h>

#include "harness/kernels/amx_tiles.h"
#include "harness/kernels/integer_cpu.h"

namespace harness::kernels {
namespace {

constexpr std::int64_t kSumBytes = kPanelOutputs * sizeof(int);  // from row to row of the sums
constexpr std::int64_t kBlockSums = kTileRows * kPanelOutputs;
constexpr std::int64_t kHalf = kPanelOutputs / 2;

/// One block of rows, or two: then a load of weights serves both.
template <bool kTwo>
void multiply(const std::uint8_t* x, const std::uint8_t* below, const std::int8_t* panel,
              std::int64_t steps, std::int32_t* sums) {
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (kTwo) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::int64_t step = 0; step < steps; ++step) {
    _tile_loadd(4, x, kTileRowBytes);
    _tile_loadd(6, panel, kTileRowBytes);
    _tile_dpbusd(0, 4, 6);
    _tile_loadd(7, panel + kTileBytes, kTileRowBytes);
    _tile_dpbusd(1, 4, 7);
    if constexpr (kTwo) {
      _tile_loadd(5, below, kTileRowBytes);
      _tile_dpbusd(2, 5, 6);
      _tile_dpbusd(3, 5, 7);
      below += kTileBytes;
    }
    x += kTileBytes;
    panel += kPanelStepBytes;
  }
  _tile_stored(0, sums, kSumBytes);
  _tile_stored(1, sums + kHalf, kSumBytes);
  if constexpr (kTwo) {
    _tile_stored(2, sums + kBlockSums, kSumBytes);
    _tile_stored(3, sums + kBlockSums + kHalf, kSumBytes);
  }
}

void product(const std::uint8_t* x, std::int64_t block_bytes, std::int64_t rows,
             const std::int8_t* panel, std::int64_t steps, std::int32_t* sums) {
  if (rows > kTileRows)
    multiply<true>(x, x + block_bytes, panel, steps, sums);
  else
    multiply<false>(x, nullptr, panel, steps, sums);
}

}  // namespace

const IntegerKernel& amx_integer_kernel() {
  static constexpr IntegerKernel kernel{"AMX", [] { _tile_loadconfig(&kTileShapes); },
                                        [] { _tile_release(); }, product};
  return kernel;
}

}  // namespace harness::kernels
