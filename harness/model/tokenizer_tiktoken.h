#pragma once

#include <filesystem>
#include <string_view>

#include "harness/model/pipeline_tokenizer.h"

namespace harness {

/// Whether a tokenizer.model that begins so is a list of tiktoken ranks: a token in base64 and its
/// rank a line.
bool is_tiktoken(std::string_view beginning);

/// The tokenizer of Llama 3's tokenizer.model and, where the file stands beside it,
/// tokenizer_config.json. The 256 special tokens, which the file does not hold, are those of
/// models/llama3/tokenizer.py in meta-llama/llama-models (Llama 3.1 to 3.3); Llama 3 itself calls
/// some of those reserved that are named there. BOS is added.
/// @throws Error on a line that is no token and rank, ranks that are not 0 to n - 1, or a missing
///         byte
TokenizerParts read_tokenizer_tiktoken(const std::filesystem::path& path);

}  // namespace harness
