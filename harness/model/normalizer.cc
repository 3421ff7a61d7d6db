#include "harness/model/normalizer.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "harness/core/error.h"
#include "harness/model/regex.h"
#include "harness/model/tokenizer_json.h"
#include "harness/model/unicode.h"

namespace harness {
namespace {

class UnicodeForm : public Normalizer {
 public:
  explicit UnicodeForm(int options) : options_(options | UTF8PROC_STABLE) {}

  std::string apply(std::string_view text) const override {
    // The library's tables are older: what they do not know stands between the parts that are
    // normalised.
    std::string result;
    std::size_t begin = 0, at = 0;
    while (at < text.size()) {
      std::size_t start = at;
      char32_t c = next_code_point(text, at);
      if (c < 0x300 || !in_ranges(kInert, c)) continue;
      normalize(text.substr(begin, start - begin), result);
      result.append(text, start, at - start);
      begin = at;
    }
    normalize(text.substr(begin), result);
    return result;
  }

 private:
  void normalize(std::string_view text, std::string& result) const {
    if (text.empty()) return;
    utf8proc_uint8_t* mapped = nullptr;
    utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                         static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                         static_cast<utf8proc_option_t>(options_));
    if (size < 0)
      throw Error("", fmt::format("Unicode normalisation failed ({})", utf8proc_errmsg(size)));
    result.append(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size));
    std::free(mapped);
  }

  int options_;
};

class Lowercase : public Normalizer {
 public:
  std::string apply(std::string_view text) const override {
    std::string result;
    for (std::size_t at = 0; at < text.size();) append_lower(result, next_code_point(text, at));
    return result;
  }
};

class StripAccents : public Normalizer {
 public:
  std::string apply(std::string_view text) const override {
    std::string result;
    for (std::size_t at = 0; at < text.size();) {
      char32_t c = next_code_point(text, at);
      if (!in_ranges(kCombiningMarks, c)) append_utf8(result, c);
    }
    return result;
  }
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  std::string apply(std::string_view text) const override {
    std::size_t begin = 0,
                end = 0;  // of what is kept; a text of white space alone vanishes either way
    bool started = !left_;
    for (std::size_t at = 0; at < text.size();) {
      std::size_t start = at;
      bool space = is_space(next_code_point(text, at));
      if (!started && space) continue;
      if (!started) begin = start;
      started = true;
      if (!space || !right_) end = at;
    }
    return std::string(text.substr(begin, end > begin ? end - begin : 0));
  }

 private:
  bool left_, right_;
};

class Replace : public Normalizer {
 public:
  Replace(Regex pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  std::string apply(std::string_view text) const override {
    std::string result;
    std::size_t at = 0;
    for (const TextRange& match : pattern_.find_all(text)) {
      result.append(text, at, match.begin - at);
      result += content_;
      at = match.end;
    }
    result.append(text, at);
    return result;
  }

 private:
  Regex pattern_;
  std::string content_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string text) : text_(std::move(text)) {}
  std::string apply(std::string_view text) const override {
    return text.empty() ? std::string() : text_ + std::string(text);
  }

 private:
  std::string text_;
};

class NormalizerSequence : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> steps)
      : steps_(std::move(steps)) {}
  std::string apply(std::string_view text) const override {
    std::string result(text);
    for (const auto& step : steps_) result = step->apply(result);
    return result;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const nlohmann::json& config,
                                            const std::string& where) {
  JsonReader in(config, "normalizer", where);
  std::string type = in.text("type");
  if (type == "NFC") return std::make_unique<UnicodeForm>(UTF8PROC_COMPOSE);
  if (type == "NFD") return std::make_unique<UnicodeForm>(UTF8PROC_DECOMPOSE);
  if (type == "NFKC") return std::make_unique<UnicodeForm>(UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
  if (type == "NFKD") return std::make_unique<UnicodeForm>(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "Strip")
    return std::make_unique<Strip>(in.boolean("strip_left", true), in.boolean("strip_right", true));
  if (type == "Prepend") return std::make_unique<Prepend>(in.text("prepend"));
  if (type == "Replace") {
    std::string content = in.text("content");
    if (in.pattern_is_regex() && content.find('$') != std::string::npos)
      in.unsupported("a replacement with $ groups");
    return std::make_unique<Replace>(Regex(in.pattern(), where), std::move(content));
  }
  if (type == "Sequence") {
    std::vector<std::unique_ptr<Normalizer>> steps;
    for (const nlohmann::json& step : in.array("normalizers"))
      steps.push_back(make_normalizer(step, where));
    return std::make_unique<NormalizerSequence>(std::move(steps));
  }
  in.unsupported(
      fmt::format("the type \"{}\"", type),
      "NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Replace, Prepend or Sequence");
}

}  // namespace harness
