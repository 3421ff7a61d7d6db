#pragma once

#include <optional>
#include <string>

#include "harness/model/config.h"
#include "harness/model/tokenizer.h"

namespace harness {

/// Whether a tokenizer can be that of a model: every id has a row of the embedding, and the rows
/// beyond the tokenizer's are no more than the padding that published checkpoints have (at most a
/// tenth; Qwen 2.5 pads 151,665 tokens to 152,064 rows, DeepSeek 100,015 to 102,400).
/// @param where the checkpoint, for messages
/// @throws Error
void check_tokenizer(const Tokenizer& tokenizer, const LlamaConfig& config,
                     const std::string& where);

/// How the vocabularies of two models differ, whose logits are to be read side by side: in numbers
/// and an example; nothing where they are the same. Up to kRenamedTokens ids may stand for other
/// text, as those of chat tokens do that a fine-tune has named (Llama 3.1 beside 3.0).
std::optional<std::string> vocabulary_difference(const Tokenizer& ours, const Tokenizer& theirs);
inline constexpr std::int64_t kRenamedTokens = 256;

}  // namespace harness
