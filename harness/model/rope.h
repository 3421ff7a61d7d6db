#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "harness/model/config.h"

namespace harness {

/// Rotary position embedding: the angles of positions 0..n-1; yarn scales cos and sin.
struct Rope {
  at::Tensor cos, sin;  // [positions, head_dim / 2]; float64 in a float64 model, else float32
};

/// Rotation frequencies in radians a position, after rope scaling: [head_dim / 2].
/// The formulas and their float32 arithmetic are those of transformers' modeling_rope_utils.py
/// (default, linear, llama3, yarn), so that the angles agree to the bit.
/// @param dtype float32 or float64
/// @throws Error on another rope type
at::Tensor rope_frequencies(const LlamaConfig& config, at::ScalarType dtype);

/// @param dtype the model's; angles are float64 when it is, else float32
Rope make_rope(const LlamaConfig& config, std::int64_t positions, at::ScalarType dtype,
               at::Device device);

}  // namespace harness
