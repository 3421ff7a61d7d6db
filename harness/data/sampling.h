#pragma once

#include <cstdint>
#include <vector>

#include "harness/core/rng.h"

namespace harness {

/// Offsets of `samples` windows of `length` tokens, each uniform over all places where a window
/// fits, drawn independently: windows may overlap (methods.md section 4: calibration at random
/// offsets, seeded).
/// @param tokens number of tokens of the text
/// @throws Error when the text is shorter than one window
std::vector<std::int64_t> sample_windows(std::int64_t tokens, std::int64_t samples,
                                         std::int64_t length, Philox& stream);

}  // namespace harness
