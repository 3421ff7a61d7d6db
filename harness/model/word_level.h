#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/model/token_model.h"

namespace harness {

/// One token a word (WordLevel of the library `tokenizers`).
class WordLevel : public TokenModel {
 public:
  /// @param unk_token stands for words that the vocabulary lacks; it may itself be missing there
  /// @param where     the file's name, for messages
  /// @throws Error when two words have one id
  WordLevel(TextMap<TokenId> vocabulary, std::string unk_token, std::string where);

  /// @throws Error on an unknown word when the vocabulary lacks unk_token, as the library does
  void encode(std::string_view word, std::vector<std::int64_t>& ids) const override;

 private:
  std::string unk_token_, where_;
};

}  // namespace harness
