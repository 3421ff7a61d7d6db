#include "harness/model/tokenizer_check.h"

#include <fmt/format.h>

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

}  // namespace harness
