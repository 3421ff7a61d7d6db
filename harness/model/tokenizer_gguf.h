#pragma once

#include <filesystem>
#include <string>

#include "harness/model/byte_level_tokenizer.h"

namespace harness {

/// Reads the vocabulary of a GGUF file: tokenizer.ggml.model "gpt2" with a pre-tokenizer that is
/// known here.
/// @throws Error that names the model or pre-tokenizer when it is another
TokenizerParts read_tokenizer_gguf(const std::filesystem::path& path);

/// The same tokenizer as the text of a tokenizer.json, which gives the same ids.
std::string tokenizer_json_of_gguf(const std::filesystem::path& path);

}  // namespace harness
