#include "harness/model/sentencepiece_normalizer.h"

#include <fmt/format.h>

#include <cstring>

#include "harness/core/error.h"
#include "harness/model/unicode.h"

namespace harness {
namespace {

// A unit of darts-clone's double array (include/darts.h, DoubleArrayUnit).
bool has_leaf(std::uint32_t unit) { return unit >> 8 & 1; }
std::uint32_t value_of(std::uint32_t unit) { return unit & 0x7FFFFFFF; }
std::uint32_t label_of(std::uint32_t unit) { return unit & 0x800000FF; }
std::uint32_t offset_of(std::uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }

}  // namespace

SentencePieceNormalizer::SentencePieceNormalizer(std::string_view charsmap, PrefixSet untouched,
                                                 bool remove_extra_whitespaces,
                                                 const std::string& where)
    : untouched_(std::move(untouched)), remove_extra_whitespaces_(remove_extra_whitespaces) {
  if (charsmap.empty()) return;
  std::uint32_t size = 0;
  if (charsmap.size() > sizeof(size)) std::memcpy(&size, charsmap.data(), sizeof(size));
  if (size == 0 || size % sizeof(std::uint32_t) != 0 || size >= charsmap.size() - sizeof(size) ||
      charsmap.back() != '\0')
    throw Error(where,
                fmt::format("precompiled_charsmap has {} bytes and gives its table {}",
                            charsmap.size(), size),
                "the table, then texts that end with zero bytes", "fetch the file again");
  trie_.resize(size / sizeof(std::uint32_t));
  std::memcpy(trie_.data(), charsmap.data() + sizeof(size), size);
  replacements_ = charsmap.substr(sizeof(size) + size);
}

std::optional<std::pair<std::string_view, std::size_t>> SentencePieceNormalizer::rule(
    std::string_view text) const {
  std::optional<std::pair<std::string_view, std::size_t>> longest;
  if (trie_.empty()) return longest;
  std::size_t node = offset_of(trie_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (node >= trie_.size() || label_of(trie_[node]) != byte) break;
    const std::uint32_t unit = trie_[node];
    node ^= offset_of(unit);
    if (!has_leaf(unit) || node >= trie_.size()) continue;
    const std::size_t start = value_of(trie_[node]);
    if (start < replacements_.size()) longest = {replacements_.data() + start, i + 1};
  }
  return longest;
}

std::pair<std::string_view, std::size_t> SentencePieceNormalizer::front(
    std::string_view text) const {
  if (const std::size_t size = untouched_.longest(text)) return {text.substr(0, size), size};
  if (const auto found = rule(text)) return *found;
  const std::size_t size = utf8_length(text.front());
  return {text.substr(0, size), size};
}

std::string SentencePieceNormalizer::apply(std::string_view text) const {
  std::string result;
  bool after_space = remove_extra_whitespaces_;
  while (!text.empty()) {
    auto [normal, size] = front(text);
    text.remove_prefix(size);
    while (after_space && normal.starts_with(' ')) normal.remove_prefix(1);
    if (normal.empty()) continue;
    for (char c : normal) {
      if (c == ' ')
        result += kSentencePieceSpace;
      else
        result += c;
    }
    after_space = remove_extra_whitespaces_ && normal.ends_with(' ');
  }
  while (remove_extra_whitespaces_ && result.ends_with(kSentencePieceSpace))
    result.resize(result.size() - kSentencePieceSpace.size());
  return result;
}

}  // namespace harness
