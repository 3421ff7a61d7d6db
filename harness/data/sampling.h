#pragma once

#include <cstdint>
#include <vector>

#include "harness/core/rng.h"

namespace harness {

/// @throws Error when a text of so many tokens is shorter than one window
void check_window_fits(std::int64_t tokens, std::int64_t length);

/// Offsets of `samples` windows of `length` tokens, each uniform over all places where a window
/// fits, drawn independently: windows may overlap (methods.md section 4: calibration at random
/// offsets, seeded).
/// @param tokens number of tokens of the text
/// @throws Error as check_window_fits() does
std::vector<std::int64_t> sample_windows(std::int64_t tokens, std::int64_t samples,
                                         std::int64_t length, Philox& stream);

/// The numbers 0 .. count - 1 in an order drawn from `stream`: each order is as likely as any
/// other.
std::vector<std::size_t> permutation(std::size_t count, Philox stream);

}  // namespace harness
