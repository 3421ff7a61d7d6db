#include "harness/model/gguf_blocks.h"

#include <c10/util/Half.h>

#include <cstring>

namespace harness {
namespace {

// Layouts of ggml-common.h, byte for byte. d: scale, m: minimum (float16 bits); qs: 4-bit codes,
// the low nibbles are values 0..15, the high ones 16..31; qh: the fifth bits, value j's at bit j.
struct Q4_0 {
  std::uint16_t d;
  std::uint8_t qs[16];
};
struct Q4_1 {
  std::uint16_t d, m;
  std::uint8_t qs[16];
};
struct Q5_0 {
  std::uint16_t d;
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};
struct Q5_1 {
  std::uint16_t d, m;
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};
struct Q8_0 {
  std::uint16_t d;
  std::int8_t qs[32];
};
static_assert(sizeof(Q4_0) == 18 && sizeof(Q4_1) == 20 && sizeof(Q5_0) == 22 &&
              sizeof(Q5_1) == 24 && sizeof(Q8_0) == 34);

float half(std::uint16_t bits) { return c10::Half(bits, c10::Half::from_bits()); }

int nibble(const std::uint8_t* qs, int j) { return j < 16 ? qs[j] & 15 : qs[j - 16] >> 4; }
int fifth_bit(const std::uint8_t* qh, int j) { return (qh[j / 8] >> (j % 8) & 1) << 4; }

float value(const Q4_0& b, int j) { return half(b.d) * static_cast<float>(nibble(b.qs, j) - 8); }
float value(const Q4_1& b, int j) {
  return half(b.d) * static_cast<float>(nibble(b.qs, j)) + half(b.m);
}
float value(const Q5_0& b, int j) {
  return half(b.d) * static_cast<float>((nibble(b.qs, j) | fifth_bit(b.qh, j)) - 16);
}
float value(const Q5_1& b, int j) {
  return half(b.d) * static_cast<float>(nibble(b.qs, j) | fifth_bit(b.qh, j)) + half(b.m);
}
float value(const Q8_0& b, int j) { return half(b.d) * static_cast<float>(b.qs[j]); }

template <class Block>
void dequantize(const std::byte* in, std::int64_t blocks, float* out) {
  for (std::int64_t i = 0; i < blocks; ++i, in += sizeof(Block), out += kGgufBlock) {
    Block block;
    std::memcpy(&block, in, sizeof block);
    for (int j = 0; j < kGgufBlock; ++j) out[j] = value(block, j);
  }
}

}  // namespace

const std::vector<GgufBlockFormat>& gguf_block_formats() {
  static const std::vector<GgufBlockFormat> formats = {
      {"Q4_0", dequantize<Q4_0>}, {"Q4_1", dequantize<Q4_1>}, {"Q5_0", dequantize<Q5_0>},
      {"Q5_1", dequantize<Q5_1>}, {"Q8_0", dequantize<Q8_0>},
  };
  return formats;
}

const GgufBlockFormat* find_gguf_block_format(std::string_view name) {
  for (const GgufBlockFormat& format : gguf_block_formats())
    if (format.name == name) return &format;
  return nullptr;
}

}  // namespace harness
