#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace harness {

/// Lookup by string_view in maps with string keys.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>()(text);
  }
};
template <class Value>
using TextMap = std::unordered_map<std::string, Value, TextHash, std::equal_to<>>;

using TokenId = std::int32_t;

/// The `model` of a tokenizer: a vocabulary, and how a word is cut into tokens of it.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  TokenModel(const TokenModel&) = delete;
  TokenModel& operator=(const TokenModel&) = delete;

  /// Appends the ids of one word (valid UTF-8, as the pre-tokenizer leaves it).
  virtual void encode(std::string_view word, std::vector<std::int64_t>& ids) const = 0;

  std::optional<TokenId> find(std::string_view token) const;
  /// Null for an id that no token has.
  const std::string* token(std::int64_t id) const;
  /// Tokens, not the largest id.
  std::size_t size() const { return vocabulary_.size(); }

 protected:
  /// @param vocabulary token to id
  explicit TokenModel(TextMap<TokenId> vocabulary);

 private:
  TextMap<TokenId> vocabulary_;
  std::unordered_map<std::int64_t, const std::string*> tokens_;
};

}  // namespace harness
