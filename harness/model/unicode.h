#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// Characters as the Hugging Face library `tokenizers` sees them. Its parts come from several
// versions of Unicode; where those differ from PCRE2's and utf8proc's, unicode_tables.cc says how.

namespace harness {

struct CodePointRange {
  char32_t first, last;
};
struct CategoryRange {
  char32_t first, last;
  const char* category;  // two letters: "Lu"
};
struct LowerRange {
  char32_t first, last;
  std::int32_t distance;
};
extern const std::vector<CategoryRange> kNewCategories;
extern const std::vector<CodePointRange> kWordExtra;
extern const std::vector<CodePointRange> kNumeric;
extern const std::vector<CodePointRange> kCombiningMarks;
extern const std::vector<CodePointRange> kInert;
extern const std::vector<LowerRange> kNewLower;

/// Whether a sorted list of ranges holds the code point.
bool in_ranges(const std::vector<CodePointRange>& ranges, char32_t c);

/// White_Space of Unicode, which is Rust's char::is_whitespace and Oniguruma's \s.
bool is_space(char32_t c);
/// Rust's char::is_numeric: categories Nd, Nl and No.
bool is_numeric(char32_t c);
/// Lower case of one character, appended to `out` (U+0130 becomes two). No context: sigma is never
/// final.
void append_lower(std::string& out, char32_t c);

void append_utf8(std::string& out, char32_t c);
/// Reads one character of valid UTF-8 at `position` and moves behind it.
char32_t next_code_point(std::string_view text, std::size_t& position);
/// Byte length of the character that begins with `lead` in valid UTF-8.
std::size_t utf8_length(char lead);
/// Bytes of the well-formed UTF-8 character at `position`; 0 when there is none.
std::size_t valid_utf8_length(std::string_view text, std::size_t position);
bool is_utf8(std::string_view text);
/// The text with every maximal ill-formed part replaced by U+FFFD, as Python's errors="replace" and
/// Rust's from_utf8_lossy do it (The Unicode Standard, section 3.9, "Substitution of Maximal
/// Subparts").
std::string repair_utf8(std::string_view text);

}  // namespace harness
