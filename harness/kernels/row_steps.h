#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "harness/core/format.h"

// What changes each row (the last dimension) of an activation by itself, as data: whoever makes the
// rows can change them while they are in a near cache.

namespace harness {

/// hadamard_transform(x, inner).
struct HadamardRows {
  std::int64_t inner = 1;
};
/// fake_quantize(x, spec, what), to fewer than 16 bits.
struct QuantizeRows {
  QuantSpec spec;
  std::string what;
};
using RowStep = std::variant<HadamardRows, QuantizeRows>;
using RowSteps = std::vector<RowStep>;

/// The steps one after the other. Where no gradient is recorded, float32 and bfloat16 on the CPU
/// take one pass over memory for all of them, with the bits of one each.
/// @param x [..., features]
/// @throws Error, NotFinite as those two do
at::Tensor apply_rows(const at::Tensor& x, const RowSteps& steps);

}  // namespace harness
