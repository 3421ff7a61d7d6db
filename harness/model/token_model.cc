#include "harness/model/token_model.h"

namespace harness {

TokenModel::TokenModel(TextMap<TokenId> vocabulary) : vocabulary_(std::move(vocabulary)) {
  for (const auto& [token, id] : vocabulary_) tokens_[id] = &token;
}

std::optional<TokenId> TokenModel::find(std::string_view token) const {
  auto found = vocabulary_.find(token);
  return found == vocabulary_.end() ? std::nullopt : std::optional(found->second);
}

const std::string* TokenModel::token(std::int64_t id) const {
  auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : found->second;
}

}  // namespace harness
