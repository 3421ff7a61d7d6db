#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

struct TextRange {
  std::size_t begin, end;  // bytes
};

/// A regular expression of a tokenizer.json, run by PCRE2 with the meaning that Oniguruma gives it,
/// for the library `tokenizers` compiles it with Oniguruma (Ruby syntax, Unicode 16).
class Regex {
 public:
  /// @param where the file's name, for messages
  /// @throws Error that quotes the pattern, when PCRE2 cannot compile it or it uses something that
  /// the two
  ///         engines read differently
  explicit Regex(const std::string& pattern, const std::string& where = {});
  /// The matches in order, none overlapping; of empty matches those that do not touch the match
  /// before.
  /// @param text valid UTF-8
  std::vector<TextRange> find_all(std::string_view text) const;

  /// A pattern that matches this text and nothing else.
  static std::string escape(std::string_view text);

 private:
  std::string pattern_;
  std::shared_ptr<void> code_;  // pcre2_code
};

}  // namespace harness
