#include "harness/model/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <cctype>

#include "harness/core/error.h"
#include "harness/model/unicode.h"

namespace harness {
namespace {

// White_Space as the inside of a character class; PCRE2's own \s has U+180E besides.
constexpr const char* kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr const char* kNotSpace =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";

[[noreturn]] void unsupported(const std::string& where, const std::string& pattern,
                              const std::string& what) {
  throw Error(where, fmt::format("the regular expression {} has {}", pattern, what),
              "syntax that Oniguruma and PCRE2 read alike",
              "this tokenizer is not supported yet: please report it");
}

/// The inside of a class for a general category ("L", "Lu"), with what Unicode 15 and 16 added to
/// it.
std::string category_class(const std::string& category) {
  std::string text = fmt::format("\\p{{{}}}", category);
  for (const CategoryRange& range : kNewCategories) {
    if (std::string_view(range.category).starts_with(category))
      text += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", static_cast<unsigned>(range.first),
                          static_cast<unsigned>(range.last));
  }
  return text;
}

/// \w. Oniguruma counts ², ³, ¹, ¼, ½ and ¾ as word characters, but not where \w stands inside a
/// class.
std::string word_class(bool in_class) {
  std::string text;
  for (const char* category : {"L", "M", "Nd", "Nl", "Pc"}) text += category_class(category);
  for (const CodePointRange& range : kWordExtra) {
    if (in_class && range.first < 0x100) continue;
    text += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", static_cast<unsigned>(range.first),
                        static_cast<unsigned>(range.last));
  }
  return text;
}

/// Rewrites an Oniguruma pattern for PCRE2.
class Translator {
 public:
  Translator(const std::string& pattern, const std::string& where)
      : pattern_(pattern), where_(where) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      char c = pattern_[at_];
      if (c == '\\') {
        escape();
      } else if (c == '[') {
        open_class();
      } else if (c == ']' && in_class_) {
        in_class_ = false;
        copy(1);
      } else if (in_class_ && pattern_.compare(at_, 2, "&&") == 0) {
        unsupported(where_, pattern_, "an intersection (&&) of character classes");
      } else if (!in_class_ && c == '{') {
        repetition();
      } else {
        copy(1);
      }
    }
    return result_;
  }

 private:
  void copy(std::size_t size) {
    result_ += pattern_.substr(at_, size);
    at_ += size;
  }

  void put_class(const std::string& inside, bool negated) {
    result_ += in_class_ ? inside : fmt::format("[{}{}]", negated ? "^" : "", inside);
  }

  void open_class() {
    if (in_class_) {
      if (pattern_.compare(at_, 2, "[:") != 0)
        unsupported(where_, pattern_, "a class inside a class");
      std::size_t end = pattern_.find(":]", at_);
      if (end == std::string::npos) unsupported(where_, pattern_, "an open [:");
      copy(end + 2 - at_);
      return;
    }
    in_class_ = true;
    copy(1);
    if (at_ < pattern_.size() && pattern_[at_] == '^') copy(1);
    if (at_ < pattern_.size() && pattern_[at_] == ']') copy(1);
  }

  void repetition() {
    std::size_t end = at_ + 1;
    while (end < pattern_.size() &&
           (std::isdigit(static_cast<unsigned char>(pattern_[end])) || pattern_[end] == ','))
      ++end;
    if (end >= pattern_.size() || pattern_[end] != '}' || end == at_ + 1)
      unsupported(where_, pattern_, "a { that begins no repetition");
    if (pattern_[at_ + 1] == ',')
      unsupported(where_, pattern_, "a repetition without a lower bound");
    copy(end + 1 - at_);
    if (at_ < pattern_.size() && pattern_[at_] == '+')
      unsupported(where_, pattern_, "a + behind a {} repetition");
  }

  void escape() {
    char kind = at_ + 1 < pattern_.size() ? pattern_[at_ + 1] : '\0';
    switch (kind) {
      case 's':
        put_class(kSpace, false);
        break;
      case 'S':
        put_class(in_class_ ? kNotSpace : kSpace, true);
        break;
      case 'd':
        put_class(category_class("Nd"), false);
        break;
      case 'w':
        put_class(word_class(in_class_), false);
        break;
      case 'D':
      case 'W':
        if (in_class_) unsupported(where_, pattern_, fmt::format("\\{} inside a class", kind));
        put_class(kind == 'D' ? category_class("Nd") : word_class(false), true);
        break;
      case 'p':
      case 'P':
        property(kind == 'P');
        return;
      case 'h':
      case 'H':
      case 'b':
      case 'B':
      case 'R':
      case 'X':
      case 'K':
        unsupported(where_, pattern_, fmt::format("\\{}", kind));
      default:
        copy(2);
        return;
    }
    at_ += 2;
  }

  void property(bool negated) {
    std::size_t end = pattern_.find('}', at_);
    if (end == std::string::npos || pattern_.compare(at_ + 2, 1, "{") != 0)
      unsupported(where_, pattern_, "a property without {}");
    std::string name = pattern_.substr(at_ + 3, end - at_ - 3);
    if (name.starts_with('^')) {
      negated = !negated;
      name.erase(0, 1);
    }
    at_ = end + 1;
    bool category = name.size() <= 2;
    if (!negated && category) {
      put_class(category_class(name), false);
    } else if (!in_class_ && category) {
      put_class(category_class(name), true);
    } else {
      // Scripts, and categories negated inside a class: of PCRE2's own Unicode version.
      result_ += fmt::format("\\{}{{{}}}", negated ? 'P' : 'p', name);
    }
  }

  const std::string& pattern_;
  const std::string& where_;
  std::string result_;
  std::size_t at_ = 0;
  bool in_class_ = false;
};

std::string message_of(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
}

}  // namespace

Regex::Regex(const std::string& pattern, const std::string& where) : pattern_(pattern) {
  std::string translated = Translator(pattern, where).run();
  std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int code = 0;
  PCRE2_SIZE offset = 0;
  // Ruby's ^ and $ are those of lines, hence PCRE2_MULTILINE.
  pcre2_code* compiled =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code,
                    &offset, context.get());
  if (!compiled)
    throw Error(where,
                fmt::format("the regular expression {} is refused ({})", pattern, message_of(code)),
                "a valid regular expression");
  code_ = std::shared_ptr<void>(
      compiled, [](void* regex) { pcre2_code_free(static_cast<pcre2_code*>(regex)); });
  // Without a just-in-time compiler for this machine the interpreter serves.
  pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
}

std::vector<TextRange> Regex::find_all(std::string_view text) const {
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> match(
      pcre2_match_data_create_from_pattern(code, nullptr), pcre2_match_data_free);
  std::vector<TextRange> found;
  std::size_t from = 0;
  bool any = false;
  while (from <= text.size()) {
    int result =
        pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, match.get(), nullptr);
    // A long backtrack can exhaust the compiled code's stack; the interpreter keeps its own on the
    // heap.
    if (result == PCRE2_ERROR_JIT_STACKLIMIT)
      result = pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                           match.get(), nullptr);
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0)
      throw Error("", fmt::format("matching {} failed ({})", pattern_, message_of(result)));
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match.get());
    TextRange range{bounds[0], bounds[1]};
    if (range.begin == range.end && any && found.back().end == range.end) {
      from += from < text.size() ? utf8_length(text[from]) : 1;
      continue;
    }
    found.push_back(range);
    from = range.end;
    any = true;
  }
  return found;
}

std::string Regex::escape(std::string_view text) {
  std::string result;
  for (char c : text) {
    if (static_cast<unsigned char>(c) < 0x80 && std::ispunct(static_cast<unsigned char>(c)))
      result += '\\';
    result += c;
  }
  return result;
}

}  // namespace harness
