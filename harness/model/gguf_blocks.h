#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

// Block formats of ggml (ggml/src/ggml-common.h and ggml-quants.c): rows of blocks of 32 values
// with scales in float16. The arithmetic is that of ggml's dequantize_row_*, in float32.

namespace harness {

/// Turns `blocks` blocks into 32 floats each.
using Dequantize = void (*)(const std::byte* in, std::int64_t blocks, float* out);

struct GgufBlockFormat {
  const char* name;  // ggml's: "Q4_1"
  Dequantize dequantize;
};

constexpr std::int64_t kGgufBlock = 32;  // values of a block, in each of these formats

/// Every block format that can be dequantized here.
const std::vector<GgufBlockFormat>& gguf_block_formats();
/// That of a ggml type's name, or null.
const GgufBlockFormat* find_gguf_block_format(std::string_view name);

}  // namespace harness
