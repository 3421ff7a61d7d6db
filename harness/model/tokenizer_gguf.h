#pragma once

#include <filesystem>
#include <string>

#include "harness/model/pipeline_tokenizer.h"

namespace harness {

/// Reads the vocabulary of a GGUF file: tokenizer.ggml.model "gpt2" (byte-level BPE) with a
/// pre-tokenizer that is known here, or "llama" (SentencePiece), which is read as llama.cpp does.
/// @throws Error that names the model or pre-tokenizer when it is another
TokenizerParts read_tokenizer_gguf(const std::filesystem::path& path);

/// The bytes of a tokenizer.model with the same pieces; empty where the vocabulary is byte-level
/// BPE.
std::string tokenizer_model_of_gguf(const std::filesystem::path& path);

/// A byte-level BPE vocabulary as the text of a tokenizer.json, which gives the same ids.
std::string tokenizer_json_of_gguf(const std::filesystem::path& path);

}  // namespace harness
