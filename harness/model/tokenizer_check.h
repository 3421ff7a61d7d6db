#pragma once

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

}  // namespace harness
