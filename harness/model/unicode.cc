#include "harness/model/unicode.h"

#include <utf8proc.h>

#include <algorithm>

namespace harness {
namespace {

/// Length of the well-formed sequence at `position` (table 3-7 of The Unicode Standard); 0 when
/// there is none, and then `bad` is the length of the maximal ill-formed part.
std::size_t well_formed(std::string_view text, std::size_t position, std::size_t& bad) {
  auto byte = [&](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  unsigned lead = byte(position);
  bad = 1;
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (std::size_t i = 1; i < length; ++i) {
    unsigned next = byte(position + i);
    if (next < low || next > high) return 0;
    low = 0x80;
    high = 0xBF;
    bad = i + 1;
  }
  return length;
}

}  // namespace

bool in_ranges(const std::vector<CodePointRange>& ranges, char32_t c) {
  auto after = std::upper_bound(ranges.begin(), ranges.end(), c,
                                [](char32_t x, const CodePointRange& r) { return x < r.first; });
  return after != ranges.begin() && c <= std::prev(after)->last;
}

bool is_space(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_numeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  return in_ranges(kNumeric, c);
}

void append_lower(std::string& out, char32_t c) {
  if (c == 0x130) {
    out += "i\u0307";
    return;
  }
  for (const LowerRange& range : kNewLower) {
    if (c >= range.first && c <= range.last) {
      append_utf8(out, static_cast<char32_t>(static_cast<std::int32_t>(c) + range.distance));
      return;
    }
  }
  append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

void append_utf8(std::string& out, char32_t c) {
  auto put = [&](unsigned value) { out += static_cast<char>(value); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

std::size_t utf8_length(char lead) {
  auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

char32_t next_code_point(std::string_view text, std::size_t& position) {
  std::size_t length = utf8_length(text[position]);
  auto lead = static_cast<unsigned char>(text[position]);
  char32_t c = length == 1 ? lead : lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i)
    c = c << 6 | (static_cast<unsigned char>(text[position + i]) & 0x3F);
  position += length;
  return c;
}

std::size_t valid_utf8_length(std::string_view text, std::size_t position) {
  std::size_t bad = 0;
  return well_formed(text, position, bad);
}

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = valid_utf8_length(text, at);
    if (!length) return false;
    at += length;
  }
  return true;
}

std::string repair_utf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    std::size_t bad = 0;
    std::size_t length = well_formed(text, i, bad);
    if (length) {
      result.append(text, i, length);
      i += length;
    } else {
      result += "\uFFFD";
      i += bad;
    }
  }
  return result;
}

}  // namespace harness
