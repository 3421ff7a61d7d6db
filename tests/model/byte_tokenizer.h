#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/model/tokenizer.h"
#include "harness/model/unicode.h"

namespace harness::test {

/// Bytes are tokens; EOS is one of them, or none.
class ByteTokenizer : public Tokenizer {
 public:
  explicit ByteTokenizer(std::optional<std::int64_t> eos = {}) : eos_(eos) {}
  std::vector<std::int64_t> encode(std::string_view text, bool) const override {
    std::vector<std::int64_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(const std::vector<std::int64_t>& ids) const override {
    std::string bytes;
    for (const std::int64_t id : ids) bytes += static_cast<char>(id);
    return repair_utf8(bytes);
  }
  std::int64_t vocabulary_size() const override { return 256; }
  std::optional<std::int64_t> bos() const override { return {}; }
  std::optional<std::int64_t> eos() const override { return eos_; }
  bool adds_bos() const override { return false; }
  std::optional<std::int64_t> token_to_id(std::string_view token) const override {
    if (token.size() != 1) return {};
    return static_cast<unsigned char>(token[0]);
  }
  std::string digest() const override { return "bytes"; }

 private:
  std::optional<std::int64_t> eos_;
};

}  // namespace harness::test
