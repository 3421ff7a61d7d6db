#include "harness/model/tokenizer_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/core/error.h"

namespace harness {
namespace {

// Small vocabularies are padded to a multiple of something too.
constexpr std::int64_t kPadding = 256;

}  // namespace

void check_tokenizer(const Tokenizer& tokenizer, const LlamaConfig& config,
                     const std::string& where) {
  const std::int64_t tokens = tokenizer.vocabulary_size(), rows = config.vocab_size;
  const char* const remedy = "take weights and tokenizer from the same checkpoint";
  if (tokens > rows)
    throw Error(where,
                fmt::format("the tokenizer has {} tokens, the embedding {} rows: ids from {} on "
                            "would have none",
                            tokens, rows, rows),
                "a row for each token", remedy);
  if (rows > tokens + tokens / 10 + kPadding)
    throw Error(where,
                fmt::format("the tokenizer has {} tokens, the embedding {} rows: it is that of "
                            "another model",
                            tokens, rows),
                "about as many tokens as rows", remedy);
}

std::optional<std::string> vocabulary_difference(const Tokenizer& ours, const Tokenizer& theirs) {
  if (ours.digest() == theirs.digest()) return std::nullopt;
  const std::int64_t both = std::min(ours.vocabulary_size(), theirs.vocabulary_size());
  std::int64_t others = 0, first = 0;
  for (std::int64_t id = 0; id < both; ++id)
    if (ours.decode({id}) != theirs.decode({id}) && others++ == 0) first = id;
  // A small vocabulary has few chat tokens.
  if (others <= std::min(kRenamedTokens, both / 100)) return std::nullopt;
  return fmt::format("{} of {} token ids stand for another text, such as {}: \"{}\" and \"{}\"",
                     others, both, first, ours.decode({first}), theirs.decode({first}));
}

}  // namespace harness
