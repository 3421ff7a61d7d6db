#pragma once

#include <array>
#include <cstdint>

// The codebooks of ggml's IQ formats. An entry packs the indices of 8 values of 2 bits each, or of
// 4 values of 4 bits each, the first value lowest.

namespace harness {

extern const std::array<std::uint16_t, 256> kIq2XxsGrid;  // 8 indices to 8, 25, 43
extern const std::array<std::uint16_t, 512> kIq2XsGrid;   // the same
extern const std::array<std::uint16_t, 1024> kIq2SGrid;   // the same
extern const std::array<std::uint16_t, 2048> kIq1Grid;    // 8 indices to -1, 0, 1
extern const std::array<std::uint16_t, 256> kIq3XxsGrid;  // 4 indices to 4, 12, ... 52, 62
extern const std::array<std::uint16_t, 512> kIq3SGrid;    // 4 indices to 1, 3, ... 15

}  // namespace harness
