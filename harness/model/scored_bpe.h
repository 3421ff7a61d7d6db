#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/model/prefix_set.h"
#include "harness/model/token_model.h"

namespace harness {

/// What becomes of a token while a text is merged (the piece types of SentencePiece).
enum class TokenUse {
  merged,    // two neighbours that spell it may become it
  whole,     // found in the text before anything is merged, and never merged further
  unused,    // merged on the way to others; where it is left over, its two parts stand for it
  reserved,  // never made of text: control tokens, bytes, the unknown token
};

struct ScoredToken {
  std::string text;
  double score = 0;  // of the pairs that can be merged the one of the highest score is; then the
                     // leftmost
  TokenUse use = TokenUse::merged;
};

struct ScoredBpeOptions {
  /// The tokens of the 256 bytes, for characters that the vocabulary lacks.
  std::optional<std::array<TokenId, 256>> bytes{};
  /// Without `bytes`: stands for a run of such characters.
  std::optional<TokenId> unknown{};
  bool whole_words = false;  // a word that is in the vocabulary is that token
};

/// Byte-pair encoding by scored tokens: any two neighbours may be merged whose texts together are a
/// token. SentencePiece (src/bpe_model.cc) and tiktoken (scores are the ranks, negated) do so; in
/// Bpe a merge names its two parts.
class ScoredBpe : public TokenModel {
 public:
  /// @param tokens ids are their places in the list
  /// @param where  the file's name, for messages
  /// @throws Error when a text stands twice, or nothing could stand for an unknown character
  ScoredBpe(std::vector<ScoredToken> tokens, ScoredBpeOptions options, const std::string& where);

  void encode(std::string_view word, std::vector<std::int64_t>& ids) const override;

 private:
  class Merging;

  const ScoredToken& of(TokenId id) const { return tokens_[static_cast<std::size_t>(id)]; }

  std::vector<ScoredToken> tokens_;
  ScoredBpeOptions options_;
  PrefixSet whole_;
};

}  // namespace harness
