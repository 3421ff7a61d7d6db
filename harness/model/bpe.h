#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "harness/model/token_model.h"

namespace harness {

struct BpeOptions {
  std::optional<std::string>
      unk_token;               // for characters that the vocabulary lacks; without one they vanish
  bool fuse_unk = false;       // one unk_token for a run of them
  bool ignore_merges = false;  // a word that is in the vocabulary is that token
  bool byte_fallback = false;  // characters that the vocabulary lacks are tokens <0xHH>, if all are
                               // there
};

/// Byte-pair encoding: a vocabulary and an ordered list of merges (Sennrich et al., arXiv
/// 1508.07909), equal to the library `tokenizers`, its order of merges included.
class Bpe : public TokenModel {
 public:
  /// @param vocabulary token to id
  /// @param merges     pairs of tokens, the first merged first
  /// @param where      the file's name, for messages
  /// @throws Error when a merge or unk_token names a token that the vocabulary lacks
  Bpe(TextMap<TokenId> vocabulary, const std::vector<std::pair<std::string, std::string>>& merges,
      BpeOptions options, const std::string& where);

  /// Appends the ids of one word (valid UTF-8, already in the vocabulary's alphabet).
  void encode(std::string_view word, std::vector<std::int64_t>& ids) const override;

 private:
  struct Merge {
    std::uint32_t rank;
    TokenId result;
  };
  const Merge* find_merge(TokenId left, TokenId right) const;
  std::vector<TokenId> merge_word(std::string_view word) const;

  std::unordered_map<std::uint64_t, Merge>
      merges_;  // key: left id in the upper half, right in the lower
  BpeOptions options_;
  std::optional<TokenId> unk_;
  std::array<std::optional<TokenId>, 256> bytes_{};
  mutable std::mutex cache_mutex_;
  mutable TextMap<std::vector<TokenId>> cache_;
};

}  // namespace harness
