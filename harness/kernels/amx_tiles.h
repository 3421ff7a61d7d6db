#pragma once

#include <cstdint>

// What the kernels with AMX's tile registers share.

namespace harness::kernels {
namespace {

constexpr std::int64_t kTileRowBytes = 64;

/// What the tile registers are: all of 16 rows of 64 bytes.
struct alignas(64) TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
// Static: the intrinsic tells the compiler of no more than the first bytes that it reads.
constexpr TileShapes kTileShapes;

}  // namespace
}  // namespace harness::kernels
