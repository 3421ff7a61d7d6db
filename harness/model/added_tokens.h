#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "harness/model/normalizer.h"
#include "harness/model/regex.h"
#include "harness/model/token_model.h"

namespace harness {

/// A token that is found in the text as it stands, before the model sees it (`added_tokens`).
struct AddedToken {
  std::string content;
  TokenId id = 0;
  bool special = false;
  bool normalized = false;   // found in the normalised text, itself normalised
  bool single_word = false;  // only between characters that belong to no word
  bool lstrip = false;       // takes the white space on its left
  bool rstrip = false;       // and on its right
};

/// A part of the text: an added token, or text that the model has to cut.
struct TextPart {
  std::string text;
  std::optional<TokenId> id;
};

/// Finds added tokens the way tokenizers' AddedVocabulary does: first those that are not
/// normalised, in the text as it is; then the others in the normalised rest. The leftmost match
/// wins, and of those the longest.
class AddedTokens {
 public:
  /// @param normalizer may be null
  AddedTokens(std::vector<AddedToken> tokens, const Normalizer* normalizer);
  AddedTokens(const AddedTokens&) = delete;  // the indices below point into tokens_
  AddedTokens& operator=(const AddedTokens&) = delete;

  /// Cuts valid UTF-8 into added tokens and normalised text.
  std::vector<TextPart> split(std::string_view text, const Normalizer* normalizer) const;
  const AddedToken* find(std::string_view content) const;
  /// What the id decodes to: the content, normalised where the token is; null for an id that is
  /// none of these.
  const std::string* text(std::int64_t id) const;
  const std::vector<AddedToken>& all() const { return tokens_; }

 private:
  /// Patterns by their first byte, the longest first.
  struct Matcher {
    std::array<std::vector<std::pair<std::string, const AddedToken*>>, 256> by_first_byte;
    bool empty = true;
    void add(const std::string& pattern, const AddedToken* token);
    const std::pair<std::string, const AddedToken*>* match(std::string_view text,
                                                           std::size_t at) const;
  };
  void cut(const Matcher& matcher, std::string_view text, std::vector<TextPart>& out) const;

  std::vector<AddedToken> tokens_;
  TextMap<const AddedToken*> by_content_;
  std::unordered_map<std::int64_t, std::string> by_id_;
  Matcher plain_, normalized_;
};

}  // namespace harness
