#include "harness/model/pretokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "harness/core/error.h"
#include "harness/model/regex.h"
#include "harness/model/tokenizer_json.h"
#include "harness/model/unicode.h"

namespace harness {
namespace {

// OpenAI's gpt-2/src/encoder.py, as tokenizers' ByteLevel has it.
constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// What becomes of the matches of a pattern (SplitDelimiterBehavior of tokenizers).
enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

struct Part {
  TextRange range;
  bool match;
};

/// The whole text as matches and what lies between them.
std::vector<Part> partition(const std::string& text, const std::vector<TextRange>& matches) {
  std::vector<Part> parts;
  std::size_t at = 0;
  for (const TextRange& match : matches) {
    if (match.begin != at) parts.push_back({{at, match.begin}, false});
    parts.push_back({match, true});
    at = match.end;
  }
  if (at != text.size()) parts.push_back({{at, text.size()}, false});
  return parts;
}

std::vector<TextRange> arrange(const std::vector<Part>& parts, Behavior behavior) {
  std::vector<TextRange> result;
  bool previous = false;
  auto forward = [&](auto&& joins) {
    for (const Part& part : parts) {
      if (!result.empty() && joins(part.match, previous))
        result.back().end = part.range.end;
      else
        result.push_back(part.range);
      previous = part.match;
    }
  };
  switch (behavior) {
    case Behavior::removed:
      for (const Part& part : parts) {
        if (!part.match) result.push_back(part.range);
      }
      break;
    case Behavior::isolated:
      for (const Part& part : parts) result.push_back(part.range);
      break;
    case Behavior::contiguous:
      forward([](bool match, bool before) { return match == before; });
      break;
    case Behavior::merged_with_previous:
      forward([](bool match, bool before) { return match && !before; });
      break;
    case Behavior::merged_with_next:
      for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
        if (!result.empty() && part->match && !previous)
          result.back().begin = part->range.begin;
        else
          result.push_back(part->range);
        previous = part->match;
      }
      std::reverse(result.begin(), result.end());
      break;
  }
  return result;
}

/// Cuts every piece into what `ranges_of` finds in it.
template <class RangesOf>
void cut(Words& words, RangesOf&& ranges_of) {
  std::vector<std::string> result;
  bool at_start = words.at_start;
  for (const std::string& piece : words.pieces) {
    for (const TextRange& range : ranges_of(piece)) {
      if (range.begin == range.end) continue;
      // What was removed from the front began the text.
      if (result.empty() && (range.begin != 0 || &piece != &words.pieces.front())) at_start = false;
      result.push_back(piece.substr(range.begin, range.end - range.begin));
    }
  }
  words = {std::move(result), at_start};
}

class Split : public PreTokenizer {
 public:
  Split(Regex pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void apply(Words& words) const override {
    cut(words, [&](const std::string& piece) {
      std::vector<Part> parts = partition(piece, pattern_.find_all(piece));
      if (invert_) {
        for (Part& part : parts) part.match = !part.match;
      }
      return arrange(parts, behavior_);
    });
  }

 private:
  Regex pattern_;
  Behavior behavior_;
  bool invert_;
};

class Digits : public PreTokenizer {
 public:
  explicit Digits(bool individual)
      : behavior_(individual ? Behavior::isolated : Behavior::contiguous) {}

  void apply(Words& words) const override {
    cut(words, [&](const std::string& piece) {
      std::vector<TextRange> digits;
      for (std::size_t at = 0; at < piece.size();) {
        std::size_t start = at;
        if (is_numeric(next_code_point(piece, at))) digits.push_back({start, at});
      }
      return arrange(partition(piece, digits), behavior_);
    });
  }

 private:
  Behavior behavior_;
};

class WhitespaceSplit : public PreTokenizer {
 public:
  void apply(Words& words) const override {
    cut(words, [&](const std::string& piece) {
      std::vector<TextRange> spaces;
      for (std::size_t at = 0; at < piece.size();) {
        std::size_t start = at;
        if (is_space(next_code_point(piece, at))) spaces.push_back({start, at});
      }
      return arrange(partition(piece, spaces), Behavior::removed);
    });
  }
};

class Metaspace : public PreTokenizer {
 public:
  explicit Metaspace(MetaspaceOptions options)
      : options_(std::move(options)), pattern_(Regex::escape(options_.replacement)) {}

  void apply(Words& words) const override {
    using Prepend = MetaspaceOptions::Prepend;
    for (std::string& piece : words.pieces) {
      std::string text;
      for (char c : piece) {
        if (c == ' ')
          text += options_.replacement;
        else
          text += c;
      }
      const bool first = words.at_start && &piece == &words.pieces.front();
      if ((options_.prepend == Prepend::always || (options_.prepend == Prepend::first && first)) &&
          !text.starts_with(options_.replacement))
        text = options_.replacement + text;
      piece = std::move(text);
    }
    if (!options_.split) return;
    cut(words, [&](const std::string& piece) {
      return arrange(partition(piece, pattern_.find_all(piece)), Behavior::merged_with_next);
    });
  }

 private:
  MetaspaceOptions options_;
  Regex pattern_;
};

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex) : add_prefix_space_(add_prefix_space) {
    if (use_regex) pattern_ = std::make_unique<Regex>(kGpt2Pattern);
  }

  void apply(Words& words) const override {
    std::vector<std::string> result;
    for (std::string& piece : words.pieces) {
      if (add_prefix_space_ && !piece.starts_with(' ')) piece.insert(0, 1, ' ');
      if (!pattern_) {
        result.push_back(in_byte_characters(piece));
        continue;
      }
      for (const Part& part : partition(piece, pattern_->find_all(piece)))
        result.push_back(in_byte_characters(
            std::string_view(piece).substr(part.range.begin, part.range.end - part.range.begin)));
    }
    words.pieces = std::move(result);
  }

 private:
  static std::string in_byte_characters(std::string_view bytes) {
    std::string text;
    for (char byte : bytes) text += byte_characters()[static_cast<unsigned char>(byte)];
    return text;
  }

  bool add_prefix_space_;
  std::unique_ptr<Regex> pattern_;
};

class PreTokenizerSequence : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<PreTokenizer>> steps)
      : steps_(std::move(steps)) {}
  void apply(Words& words) const override {
    for (const auto& step : steps_) step->apply(words);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

Behavior read_behavior(const JsonReader& in) {
  static const std::map<std::string, Behavior> kNames = {
      {"Removed", Behavior::removed},
      {"Isolated", Behavior::isolated},
      {"MergedWithPrevious", Behavior::merged_with_previous},
      {"MergedWithNext", Behavior::merged_with_next},
      {"Contiguous", Behavior::contiguous}};
  std::string name = in.text("behavior");
  auto found = kNames.find(name);
  if (found == kNames.end())
    in.unsupported(fmt::format("the behavior \"{}\"", name),
                   "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
  return found->second;
}

}  // namespace

const std::array<std::string, 256>& byte_characters() {
  static const std::array<std::string, 256> kCharacters = [] {
    std::array<std::string, 256> characters;
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      append_utf8(characters[byte], printable ? byte : next++);
    }
    return characters;
  }();
  return kCharacters;
}

std::string bytes_of_token(const std::string& token) {
  static const std::map<char32_t, char> kBytes = [] {
    std::map<char32_t, char> bytes;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      std::size_t at = 0;
      bytes[next_code_point(byte_characters()[byte], at)] = static_cast<char>(byte);
    }
    return bytes;
  }();
  std::string result;
  for (std::size_t at = 0; at < token.size();) {
    auto found = kBytes.find(next_code_point(token, at));
    if (found == kBytes.end()) return token;
    result += found->second;
  }
  return result;
}

MetaspaceOptions read_metaspace(const JsonReader& in) {
  using Prepend = MetaspaceOptions::Prepend;
  static const std::map<std::string, Prepend> kSchemes = {
      {"never", Prepend::never}, {"first", Prepend::first}, {"always", Prepend::always}};
  MetaspaceOptions options{.replacement = in.character("replacement")};
  // Files of before tokenizers 0.15 have add_prefix_space alone.
  const bool add_prefix_space = in.boolean("add_prefix_space", true);
  if (in.at("prepend_scheme").is_null()) {
    options.prepend = add_prefix_space ? Prepend::always : Prepend::never;
  } else {
    const auto found = kSchemes.find(in.text("prepend_scheme"));
    if (found == kSchemes.end()) in.wrong("prepend_scheme", "never, first or always");
    options.prepend = found->second;
  }
  options.split = in.boolean("split", true);
  return options;
}

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const nlohmann::json& config,
                                                 const std::string& where) {
  JsonReader in(config, "pre_tokenizer", where);
  std::string type = in.text("type");
  if (type == "ByteLevel")
    return std::make_unique<ByteLevel>(in.boolean("add_prefix_space", true),
                                       in.boolean("use_regex", true));
  if (type == "Digits") return std::make_unique<Digits>(in.boolean("individual_digits", false));
  if (type == "Metaspace") return std::make_unique<Metaspace>(read_metaspace(in));
  if (type == "Split")
    return std::make_unique<Split>(Regex(in.pattern(), where), read_behavior(in),
                                   in.boolean("invert", false));
  if (type == "WhitespaceSplit") return std::make_unique<WhitespaceSplit>();
  if (type == "Sequence") {
    std::vector<std::unique_ptr<PreTokenizer>> steps;
    for (const nlohmann::json& step : in.array("pretokenizers"))
      steps.push_back(make_pre_tokenizer(step, where));
    return std::make_unique<PreTokenizerSequence>(std::move(steps));
  }
  in.unsupported(fmt::format("the type \"{}\"", type),
                 "ByteLevel, Digits, Metaspace, Split, WhitespaceSplit or Sequence");
}

}  // namespace harness
