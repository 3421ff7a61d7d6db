#include "harness/model/word_level.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/core/error.h"

namespace harness {
namespace {

/// Two words of one id would decode to either of them.
TextMap<TokenId> checked(TextMap<TokenId> vocabulary, const std::string& where) {
  std::unordered_map<TokenId, std::string_view> words;
  for (const auto& [word, id] : vocabulary) {
    const auto [other, is_new] = words.emplace(id, word);
    if (is_new) continue;
    const auto [first, second] = std::minmax(other->second, std::string_view(word));
    throw Error(where,
                fmt::format("model.vocab gives \"{}\" and \"{}\" the id {}", first, second, id),
                "an id of its own for each word", "write the file again");
  }
  return vocabulary;
}

}  // namespace

WordLevel::WordLevel(TextMap<TokenId> vocabulary, std::string unk_token, std::string where)
    : TokenModel(checked(std::move(vocabulary), where)),
      unk_token_(std::move(unk_token)),
      where_(std::move(where)) {}

void WordLevel::encode(std::string_view word, std::vector<std::int64_t>& ids) const {
  std::optional<TokenId> id = find(word);
  if (!id) id = find(unk_token_);
  if (!id)
    throw Error(where_,
                fmt::format("the word \"{}\" is not in the vocabulary, nor is the unk_token \"{}\"",
                            word, unk_token_),
                "words of the vocabulary", "use other words, or add the unk_token to model.vocab");
  ids.push_back(*id);
}

}  // namespace harness
