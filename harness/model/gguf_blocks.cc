#include "harness/model/gguf_blocks.h"

#include <c10/util/Half.h>

#include <array>
#include <bit>
#include <concepts>
#include <cstring>

#include "harness/model/gguf_grids.h"

namespace harness {
namespace {

using u8 = std::uint8_t;
using u16 = std::uint16_t;

float half(u16 bits) { return c10::Half(bits, c10::Half::from_bits()); }

// Layouts of ggml-common.h, byte for byte; d and dmin are float16 bits unless said otherwise. Each
// says how many values a block (kValues) and a group (kGroup) has, the scale of group g, the code
// of value j and, where there is one, the offset of group g.

/// Value j of a block of 32: low nibbles are values 0..15, high ones 16..31.
int nibble(const u8* qs, int j) { return j < 16 ? qs[j] & 15 : qs[j - 16] >> 4; }
int fifth_bit(const u8* qh, int j) { return (qh[j / 8] >> (j % 8) & 1) << 4; }

struct Q4_0 {
  static constexpr int kValues = 32, kGroup = 32, kBits = 4;
  u16 d;
  u8 qs[16];
  float scale(int) const { return half(d); }
  int code(int j) const { return nibble(qs, j) - 8; }
};
struct Q4_1 {
  static constexpr int kValues = 32, kGroup = 32, kBits = 5;
  u16 d, m;
  u8 qs[16];
  float scale(int) const { return half(d); }
  float offset(int) const { return half(m); }
  int code(int j) const { return nibble(qs, j); }
};
struct Q5_0 {
  static constexpr int kValues = 32, kGroup = 32, kBits = 5;
  u16 d;
  u8 qh[4], qs[16];
  float scale(int) const { return half(d); }
  int code(int j) const { return (nibble(qs, j) | fifth_bit(qh, j)) - 16; }
};
struct Q5_1 {
  static constexpr int kValues = 32, kGroup = 32, kBits = 6;
  u16 d, m;
  u8 qh[4], qs[16];
  float scale(int) const { return half(d); }
  float offset(int) const { return half(m); }
  int code(int j) const { return nibble(qs, j) | fifth_bit(qh, j); }
};
struct Q8_0 {
  static constexpr int kValues = 32, kGroup = 32, kBits = 8;
  u16 d;
  std::int8_t qs[32];
  float scale(int) const { return half(d); }
  int code(int j) const { return qs[j]; }
};

/// Value j of a block of 256 with 2 bits each: each 32 bytes hold four runs of 32 values.
int two_bits(const u8* qs, int j) { return qs[j / 128 * 32 + j % 32] >> (j / 32 % 4 * 2) & 3; }
/// Value j of a block of 256 with 4 bits each: each 32 bytes hold two runs of 32 values.
int four_bits(const u8* qs, int j) { return qs[j / 64 * 32 + j % 32] >> (j / 32 % 2 * 4) & 15; }
/// The 4 bits of item i, low nibble first.
int half_byte(const u8* bytes, int i) { return bytes[i / 2] >> (i % 2 * 4) & 15; }

struct Q2_K {
  static constexpr int kValues = 256, kGroup = 16, kBits = 3;
  u8 scales[16], qs[64];
  u16 d, dmin;
  float scale(int g) const { return half(d) * static_cast<float>(scales[g] & 15); }
  float offset(int g) const { return -(half(dmin) * static_cast<float>(scales[g] >> 4)); }
  int code(int j) const { return two_bits(qs, j); }
};
struct Q3_K {
  static constexpr int kValues = 256, kGroup = 16, kBits = 3;
  u8 hmask[32], qs[64], scales[12];
  u16 d;
  float scale(int g) const {
    const int low = scales[g % 8] >> (g / 8 * 4) & 15, high = scales[8 + g % 4] >> (g / 4 * 2) & 3;
    return half(d) * static_cast<float>((low | high << 4) - 32);
  }
  int code(int j) const { return two_bits(qs, j) - (hmask[j % 32] >> (j / 32) & 1 ? 0 : 4); }
};
/// Scale and minimum of group g of Q4_K and Q5_K, 6 bits each in 12 bytes.
int scale_of_k4(const u8* s, int g) {
  return g < 4 ? s[g] & 63 : (s[g + 4] & 15) | (s[g - 4] >> 6 << 4);
}
int minimum_of_k4(const u8* s, int g) {
  return g < 4 ? s[g + 4] & 63 : s[g + 4] >> 4 | (s[g] >> 6 << 4);
}
struct Q4_K {
  static constexpr int kValues = 256, kGroup = 32, kBits = 5;
  u16 d, dmin;
  u8 scales[12], qs[128];
  float scale(int g) const { return half(d) * static_cast<float>(scale_of_k4(scales, g)); }
  float offset(int g) const { return -(half(dmin) * static_cast<float>(minimum_of_k4(scales, g))); }
  int code(int j) const { return four_bits(qs, j); }
};
struct Q5_K {
  static constexpr int kValues = 256, kGroup = 32, kBits = 6;
  u16 d, dmin;
  u8 scales[12], qh[32], qs[128];
  float scale(int g) const { return half(d) * static_cast<float>(scale_of_k4(scales, g)); }
  float offset(int g) const { return -(half(dmin) * static_cast<float>(minimum_of_k4(scales, g))); }
  int code(int j) const { return four_bits(qs, j) | (qh[j % 32] >> (j / 32) & 1) << 4; }
};
struct Q6_K {
  static constexpr int kValues = 256, kGroup = 16, kBits = 6;
  u8 ql[128], qh[64];
  std::int8_t scales[16];
  u16 d;
  float scale(int g) const { return half(d) * static_cast<float>(scales[g]); }
  int code(int j) const {
    const int low = ql[j / 128 * 64 + j % 64] >> (j / 64 % 2 * 4) & 15;
    return (low | two_bits(qh, j) << 4) - 32;
  }
};
struct Q8_K {
  static constexpr int kValues = 256, kGroup = 256, kBits = 8;
  float d;
  std::int8_t qs[256];
  std::int16_t sums[16];  // of 16 codes each, for dot products
  float scale(int) const { return d; }
  int code(int j) const { return qs[j]; }
};

// Ternary formats; a code of 2 is possible and counts as ggml has it.
struct TQ1_0 {
  static constexpr int kValues = 256, kGroup = 256, kBits = 3;
  u8 qs[48], qh[4];  // five values a byte (four in qh), as digits of base 3 after the binary point
  u16 d;
  float scale(int) const { return half(d); }
  int code(int j) const {
    if (j < 160) return digit(qs[j % 32], j / 32);
    if (j < 240) return digit(qs[32 + j % 16], (j - 160) / 16);
    return digit(qh[j % 4], (j - 240) / 4);
  }
  static int digit(u8 byte, int place) {
    constexpr std::array<int, 5> kPowers = {1, 3, 9, 27, 81};
    return static_cast<u8>(byte * kPowers[static_cast<std::size_t>(place)]) * 3 / 256 - 1;
  }
};
struct TQ2_0 {
  static constexpr int kValues = 256, kGroup = 256, kBits = 3;
  u8 qs[64];
  u16 d;
  float scale(int) const { return half(d); }
  int code(int j) const { return two_bits(qs, j) - 1; }
};

// Formats whose 4-bit codes stand for integers of a table.
constexpr std::array<int, 16> kIq4Values = {-127, -104, -83, -65, -49, -35, -22, -10,
                                            1,    13,   25,  38,  53,  69,  89,  113};
constexpr std::array<int, 16> kFp4Values = {0, 1,  2,  3,  4,  6,  8,  12,
                                            0, -1, -2, -3, -4, -6, -8, -12};  // doubled
int value_of(const std::array<int, 16>& table, int code) {
  return table[static_cast<std::size_t>(code)];
}

struct IQ4_NL {
  static constexpr int kValues = 32, kGroup = 32, kBits = 8;
  u16 d;
  u8 qs[16];
  float scale(int) const { return half(d); }
  int code(int j) const { return value_of(kIq4Values, nibble(qs, j)); }
};
struct IQ4_XS {
  static constexpr int kValues = 256, kGroup = 32, kBits = 8;
  u16 d, scales_h;
  u8 scales_l[4], qs[128];
  float scale(int g) const {
    const int high = scales_h >> (2 * g) & 3;
    return half(d) * static_cast<float>((half_byte(scales_l, g) | high << 4) - 32);
  }
  int code(int j) const { return value_of(kIq4Values, nibble(qs + j / 32 * 16, j % 32)); }
};
struct MXFP4 {
  static constexpr int kValues = 32, kGroup = 32, kBits = 5;
  u8 e;  // half of the scale is 2^(e - 128)
  u8 qs[16];
  float scale(int) const { return std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1u) << 23); }
  int code(int j) const { return value_of(kFp4Values, nibble(qs, j)); }
};
struct NVFP4 {
  static constexpr int kValues = 64, kGroup = 16, kBits = 5;
  u8 d[4];  // E4M3 without sign; twice the scale
  u8 qs[32];
  float scale(int g) const {
    if (d[g] == 0 || d[g] == 0x7f) return 0;
    const int exponent = d[g] >> 3 & 15;
    const auto mantissa = static_cast<float>(d[g] & 7);
    return 0.5f * (exponent == 0 ? mantissa * 0x1p-9f
                                 : (1.0f + mantissa / 8.0f) *
                                       std::bit_cast<float>((exponent - 7 + 127) << 23));
  }
  int code(int j) const {
    const u8 pair = qs[j / 16 * 8 + j % 8];
    return value_of(kFp4Values, j % 16 < 8 ? pair & 15 : pair >> 4);
  }
};

// Formats whose codes are entries of a codebook (gguf_grids.h), most with signs apart.

constexpr std::array<int, 3> kIq2Values = {8, 25, 43};
constexpr std::array<int, 8> kIq3XxsValues = {4, 12, 20, 28, 36, 44, 52, 62};

int magnitude_of_2(u16 entry, int j) {
  return kIq2Values[static_cast<std::size_t>(entry >> (j % 8 * 2) & 3)];
}
std::size_t index_of_3(u16 entry, int j) {
  return static_cast<std::size_t>(entry >> (j % 4 * 4) & 7);
}
int with_sign(int magnitude, int signs, int j) {
  return signs >> (j % 8) & 1 ? -magnitude : magnitude;
}
/// Eight signs of which seven are stored: their number of ones is even.
int even_signs(std::uint32_t seven) {
  return static_cast<int>(seven | (static_cast<unsigned>(std::popcount(seven)) & 1) << 7);
}
std::uint32_t word(const u8* bytes) {
  std::uint32_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

struct IQ2_XXS {
  static constexpr int kValues = 256, kGroup = 32, kBits = 7;
  u16 d;
  u8 qs[64];  // for each 32 values: 4 entries, then 4 times 7 signs and a scale of 4 bits
  std::uint32_t signs_and_scale(int g) const { return word(qs + 8 * g + 4); }
  float scale(int g) const {
    return half(d) * (0.5f + static_cast<float>(signs_and_scale(g) >> 28)) * 0.25f;
  }
  int code(int j) const {
    const int g = j / 32, run = j % 32 / 8;
    return with_sign(magnitude_of_2(kIq2XxsGrid[qs[8 * g + run]], j),
                     even_signs(signs_and_scale(g) >> (7 * run) & 127), j);
  }
};
struct IQ2_XS {
  static constexpr int kValues = 256, kGroup = 16, kBits = 7;
  u16 d, qs[32];  // 9 bits of an entry, 7 signs
  u8 scales[8];
  float scale(int g) const {
    return half(d) * (0.5f + static_cast<float>(half_byte(scales, g))) * 0.25f;
  }
  int code(int j) const {
    const unsigned q = qs[j / 8];
    return with_sign(magnitude_of_2(kIq2XsGrid[q & 511], j), even_signs(q >> 9), j);
  }
};
struct IQ2_S {
  static constexpr int kValues = 256, kGroup = 16, kBits = 7;
  u16 d;
  u8 qs[32], signs[32], qh[8], scales[8];
  float scale(int g) const {
    return half(d) * (0.5f + static_cast<float>(half_byte(scales, g))) * 0.25f;
  }
  int code(int j) const {
    const int i = j / 8;
    const auto entry = static_cast<std::size_t>(qs[i] | (qh[i / 4] >> (i % 4 * 2) & 3) << 8);
    return with_sign(magnitude_of_2(kIq2SGrid[entry], j), signs[i], j);
  }
};
struct IQ3_XXS {
  static constexpr int kValues = 256, kGroup = 32, kBits = 7;
  u16 d;
  u8 qs[64], scales[32];  // scales: for each 32 values 4 times 7 signs and a scale of 4 bits
  float scale(int g) const {
    return half(d) * (0.5f + static_cast<float>(word(scales + 4 * g) >> 28)) * 0.5f;
  }
  int code(int j) const {
    const std::uint32_t seven = word(scales + j / 32 * 4) >> (j % 32 / 8 * 7) & 127;
    return with_sign(kIq3XxsValues[index_of_3(kIq3XxsGrid[qs[j / 4]], j)], even_signs(seven), j);
  }
};
struct IQ3_S {
  static constexpr int kValues = 256, kGroup = 32, kBits = 5;
  u16 d;
  u8 qs[64], qh[8], signs[32], scales[4];
  float scale(int g) const { return half(d) * static_cast<float>(1 + 2 * half_byte(scales, g)); }
  int code(int j) const {
    const int i = j / 4;
    const auto entry = static_cast<std::size_t>(qs[i] | (qh[i / 8] >> (i % 8) & 1) << 8);
    return with_sign(1 + 2 * static_cast<int>(index_of_3(kIq3SGrid[entry], j)), signs[j / 8], j);
  }
};

/// An entry's value plus or minus 1/8, in eighths.
int eighths(std::size_t entry, int j, bool minus) {
  return 8 * ((kIq1Grid[entry] >> (j % 8 * 2) & 3) - 1) + (minus ? -1 : 1);
}
struct IQ1_S {
  static constexpr int kValues = 256, kGroup = 32, kBits = 5;
  u16 d;
  u8 qs[32];
  u16 qh[8];  // four times the high 3 bits of an entry, a scale of 3 bits, the sign of the eighth
  float scale(int g) const {
    return half(d) * static_cast<float>(2 * (qh[g] >> 12 & 7) + 1) * 0.125f;
  }
  int code(int j) const {
    const int i = j / 8;
    const unsigned high = qh[i / 4];
    return eighths(qs[i] | (high >> (i % 4 * 3) & 7) << 8, j, high >> 15);
  }
};
struct IQ1_M {
  static constexpr int kValues = 256, kGroup = 16, kBits = 5;
  u8 qs[32], qh[16];  // qh: for each entry its high 3 bits and the sign of the eighth
  u16 scales[4];      // each: four scales of 3 bits, and 4 bits of d
  float scale(int g) const {
    const int d =
        scales[0] >> 12 | scales[1] >> 12 << 4 | scales[2] >> 12 << 8 | scales[3] >> 12 << 12;
    return half(static_cast<u16>(d)) *
           static_cast<float>(2 * (scales[g / 4] >> (g % 4 * 3) & 7) + 1) * 0.125f;
  }
  int code(int j) const {
    const int i = j / 8, high = half_byte(qh, i);
    return eighths(static_cast<std::size_t>(qs[i] | (high & 7) << 8), j, high & 8);
  }
};

template <class Block>
concept HasOffset = requires(const Block& block) {
  { block.offset(0) } -> std::same_as<float>;
};

template <class Block>
void dequantize(const std::byte* in, std::int64_t blocks, float* out) {
  for (std::int64_t i = 0; i < blocks; ++i, in += sizeof(Block)) {
    Block block;
    std::memcpy(&block, in, sizeof block);
    for (int j = 0; j < Block::kValues; out += Block::kGroup) {
      const int g = j / Block::kGroup;
      const float scale = block.scale(g);
      if constexpr (HasOffset<Block>) {
        const float offset = block.offset(g);
        for (int k = 0; k < Block::kGroup; ++k, ++j)
          out[k] = scale * static_cast<float>(block.code(j)) + offset;
      } else {
        for (int k = 0; k < Block::kGroup; ++k, ++j)
          out[k] = scale * static_cast<float>(block.code(j));
      }
    }
  }
}

template <class Block>
void split(const std::byte* in, std::int64_t blocks, std::int8_t* codes, float* scales) {
  for (std::int64_t i = 0; i < blocks; ++i, in += sizeof(Block)) {
    Block block;
    std::memcpy(&block, in, sizeof block);
    for (int g = 0; g < Block::kValues / Block::kGroup; ++g) *scales++ = block.scale(g);
    for (int j = 0; j < Block::kValues; ++j) *codes++ = static_cast<std::int8_t>(block.code(j));
  }
}

template <class Block>
GgufBlockFormat format(const char* name) {
  static_assert(std::is_trivially_copyable_v<Block>);
  GgufBlockFormat result{name,          Block::kValues,    sizeof(Block), Block::kBits,
                         Block::kGroup, dequantize<Block>, nullptr};
  if constexpr (!HasOffset<Block>) result.split = split<Block>;
  return result;
}

}  // namespace

const std::vector<GgufBlockFormat>& gguf_block_formats() {
  static const std::vector<GgufBlockFormat> formats = {
      format<Q4_0>("Q4_0"),       format<Q4_1>("Q4_1"),     format<Q5_0>("Q5_0"),
      format<Q5_1>("Q5_1"),       format<Q8_0>("Q8_0"),     format<Q2_K>("Q2_K"),
      format<Q3_K>("Q3_K"),       format<Q4_K>("Q4_K"),     format<Q5_K>("Q5_K"),
      format<Q6_K>("Q6_K"),       format<Q8_K>("Q8_K"),     format<TQ1_0>("TQ1_0"),
      format<TQ2_0>("TQ2_0"),     format<IQ1_S>("IQ1_S"),   format<IQ1_M>("IQ1_M"),
      format<IQ2_XXS>("IQ2_XXS"), format<IQ2_XS>("IQ2_XS"), format<IQ2_S>("IQ2_S"),
      format<IQ3_XXS>("IQ3_XXS"), format<IQ3_S>("IQ3_S"),   format<IQ4_NL>("IQ4_NL"),
      format<IQ4_XS>("IQ4_XS"),   format<MXFP4>("MXFP4"),   format<NVFP4>("NVFP4"),
  };
  return formats;
}

const GgufBlockFormat* find_gguf_block_format(std::string_view name) {
  for (const GgufBlockFormat& format : gguf_block_formats())
    if (format.name == name) return &format;
  return nullptr;
}

}  // namespace harness
