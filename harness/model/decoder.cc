#include "harness/model/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "harness/core/error.h"
#include "harness/model/normalizer.h"
#include "harness/model/pretokenizer.h"
#include "harness/model/tokenizer_json.h"
#include "harness/model/unicode.h"

namespace harness {
namespace {

std::string joined(const std::vector<std::string>& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

class ByteLevelDecoder : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens, bool) const override {
    std::string bytes;
    for (const std::string& token : tokens) bytes += bytes_of_token(token);
    tokens = {repair_utf8(bytes)};
  }
};

/// Runs of <0xHH> become the text that their bytes are, or as many U+FFFD where they are none.
class ByteFallbackDecoder : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens, bool) const override {
    std::vector<std::string> result;
    std::string bytes;
    auto flush = [&] {
      if (bytes.empty()) return;
      if (is_utf8(bytes)) {
        result.push_back(bytes);
      } else {
        result.insert(result.end(), bytes.size(), "\uFFFD");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const int byte = byte_of_token(token); byte >= 0) {
        bytes += static_cast<char>(byte);
        continue;
      }
      flush();
      result.push_back(std::move(token));
    }
    flush();
    tokens = std::move(result);
  }
};

class Fuse : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens, bool) const override { tokens = {joined(tokens)}; }
};

class MetaspaceDecoder : public Decoder {
 public:
  explicit MetaspaceDecoder(const MetaspaceOptions& options) : options_(options) {}

  void apply(std::vector<std::string>& tokens, bool at_start) const override {
    for (std::string& token : tokens) {
      const bool drop = at_start && options_.prepend != MetaspaceOptions::Prepend::never &&
                        &token == &tokens.front();
      std::string text;
      for (std::size_t at = 0; at < token.size();) {
        const std::string_view character(token.data() + at, utf8_length(token[at]));
        at += character.size();
        if (character != options_.replacement)
          text += character;
        else if (!drop)
          text += ' ';
      }
      token = std::move(text);
    }
  }

 private:
  MetaspaceOptions options_;
};

class ReplaceDecoder : public Decoder {
 public:
  explicit ReplaceDecoder(std::unique_ptr<Normalizer> replace) : replace_(std::move(replace)) {}
  void apply(std::vector<std::string>& tokens, bool) const override {
    for (std::string& token : tokens) token = replace_->apply(token);
  }

 private:
  std::unique_ptr<Normalizer> replace_;
};

/// Cuts up to so many of one character from both ends of every token.
class StripDecoder : public Decoder {
 public:
  StripDecoder(std::string character, std::int64_t left, std::int64_t right)
      : character_(std::move(character)), left_(left), right_(right) {}

  void apply(std::vector<std::string>& tokens, bool at_start) const override {
    for (std::string& token : tokens) {
      const bool goes_on = !at_start && &token == &tokens.front();
      std::string_view text = token;
      for (std::int64_t i = 0; !goes_on && i < left_ && text.starts_with(character_); ++i)
        text.remove_prefix(character_.size());
      for (std::int64_t i = 0; i < right_ && text.ends_with(character_); ++i)
        text.remove_suffix(character_.size());
      token = std::string(text);
    }
  }

 private:
  std::string character_;
  std::int64_t left_, right_;
};

class DecoderSequence : public Decoder {
 public:
  explicit DecoderSequence(std::vector<std::unique_ptr<Decoder>> steps)
      : steps_(std::move(steps)) {}
  void apply(std::vector<std::string>& tokens, bool at_start) const override {
    for (const auto& step : steps_) step->apply(tokens, at_start);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> steps_;
};

}  // namespace

int byte_of_token(const std::string& token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  for (const char c : {token[3], token[4]})
    if (!std::isxdigit(static_cast<unsigned char>(c))) return -1;
  return std::stoi(token.substr(3, 2), nullptr, 16);
}

std::unique_ptr<Decoder> make_byte_level_decoder() { return std::make_unique<ByteLevelDecoder>(); }

std::unique_ptr<Decoder> make_decoder(const nlohmann::json& config, const std::string& where) {
  JsonReader in(config, "decoder", where);
  const std::string type = in.text("type");
  if (type == "ByteLevel") return make_byte_level_decoder();
  if (type == "ByteFallback") return std::make_unique<ByteFallbackDecoder>();
  if (type == "Fuse") return std::make_unique<Fuse>();
  if (type == "Metaspace") return std::make_unique<MetaspaceDecoder>(read_metaspace(in));
  if (type == "Replace") return std::make_unique<ReplaceDecoder>(make_normalizer(config, where));
  if (type == "Strip")
    return std::make_unique<StripDecoder>(in.character("content"), in.count("start"),
                                          in.count("stop"));
  if (type == "Sequence") {
    std::vector<std::unique_ptr<Decoder>> steps;
    for (const nlohmann::json& step : in.array("decoders"))
      steps.push_back(make_decoder(step, where));
    return std::make_unique<DecoderSequence>(std::move(steps));
  }
  in.unsupported(fmt::format("the type \"{}\"", type),
                 "ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Strip or Sequence");
}

}  // namespace harness
