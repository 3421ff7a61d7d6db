#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "harness/model/added_tokens.h"
#include "harness/model/decoder.h"
#include "harness/model/normalizer.h"
#include "harness/model/pretokenizer.h"
#include "harness/model/token_model.h"
#include "harness/model/tokenizer.h"

namespace harness {

/// What a file says of its tokenizer.
struct TokenizerParts {
  std::unique_ptr<Normalizer> normalizer;       // may be null
  std::unique_ptr<PreTokenizer> pre_tokenizer;  // may be null
  std::unique_ptr<TokenModel> model;
  std::vector<AddedToken> added_tokens;
  std::vector<std::int64_t> prefix,
      suffix;                        // what the post-processor puts before and after the text
  std::unique_ptr<Decoder> decoder;  // null: tokens are joined by spaces
  std::optional<std::int64_t> bos, eos;
  std::string digest;
};

/// A tokenizer put together from its parts, in the order of the library `tokenizers`: added tokens,
/// normaliser, pre-tokenizer, model, post-processor. Every format that is read ends up as one.
class PipelineTokenizer : public Tokenizer {
 public:
  explicit PipelineTokenizer(TokenizerParts parts);

  std::vector<std::int64_t> encode(std::string_view text, bool special) const override;
  std::string decode(const std::vector<std::int64_t>& ids) const override;
  std::string decode_after(const std::vector<std::int64_t>& before,
                           const std::vector<std::int64_t>& ids) const override;
  std::int64_t vocabulary_size() const override { return vocabulary_size_; }
  std::optional<std::int64_t> bos() const override { return parts_.bos; }
  std::optional<std::int64_t> eos() const override { return parts_.eos; }
  bool adds_bos() const override;
  std::optional<std::int64_t> token_to_id(std::string_view token) const override;
  std::string digest() const override { return parts_.digest; }

 private:
  const std::string* token(std::int64_t id) const;
  std::string decode(const std::vector<std::int64_t>& ids, bool at_start) const;

  TokenizerParts parts_;
  AddedTokens added_;
  std::unordered_set<std::int64_t> special_;
  std::int64_t vocabulary_size_ = 0;
};

}  // namespace harness
