#pragma once

#include <filesystem>

#include "harness/model/byte_level_tokenizer.h"

namespace harness {

/// Reads the vocabulary of a GGUF file: tokenizer.ggml.model "gpt2" with a pre-tokenizer that is
/// known here.
/// @throws Error that names the model or pre-tokenizer when it is another
TokenizerParts read_tokenizer_gguf(const std::filesystem::path& path);

}  // namespace harness
