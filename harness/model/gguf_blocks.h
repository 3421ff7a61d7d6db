#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

// Block formats of ggml (ggml/src/ggml-common.h and ggml-quants.c): rows of blocks of 32, 64 or 256
// values. In each of them a value is scale * code or scale * code + offset, with one scale for a
// group of 16 or more values; the arithmetic is that of the `gguf` package (gguf/quants.py), in
// float32, to the bit.

namespace harness {

struct GgufBlockFormat {
  const char* name;     // ggml's: "Q4_1"
  std::int64_t values;  // of a block
  std::int64_t bytes;   // of a block
  int bits;             // least width of a signed integer that holds every code
  std::int64_t group;   // values that share a scale; divides `values`

  /// Turns `blocks` blocks into `values` floats each.
  void (*dequantize)(const std::byte* in, std::int64_t blocks, float* out);
  /// Splits them into `values` codes and `values / group` scales each, so that a value is their
  /// product. Null for formats with offsets (Q4_1, Q5_1, Q2_K, Q4_K, Q5_K).
  void (*split)(const std::byte* in, std::int64_t blocks, std::int8_t* codes, float* scales);
};

/// Every block format that can be dequantized here: all that the `gguf` package dequantizes, and
/// Q8_K. Q8_1, which ggml uses for activations only, is none of them.
const std::vector<GgufBlockFormat>& gguf_block_formats();
/// That of a ggml type's name, or null.
const GgufBlockFormat* find_gguf_block_format(std::string_view name);

}  // namespace harness
