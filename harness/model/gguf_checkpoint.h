#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "harness/model/checkpoint.h"
#include "harness/model/gguf.h"

namespace harness {

/// A file that ends in .gguf or begins with "GGUF".
bool is_gguf_file(const std::filesystem::path& path);

/// A Llama, Mistral, Qwen 2 or Qwen 3 in one GGUF file, seen as its Hugging Face checkpoint: names
/// mapped back, the row permutation of q and k (llama.cpp, convert_hf_to_gguf.py: permute; of the
/// architecture "llama" alone, which Mistral has too) undone, the config made of
/// the metadata. F32, F16, BF16 and F64 come as stored; block formats are dequantized to float32,
/// and config().dtype is that of most weights after that.
/// @throws Error: another architecture, a block format that is not supported, rope scaling that the
///         config cannot express
std::unique_ptr<Checkpoint> open_gguf(const std::filesystem::path& path);

/// The config in a GGUF file's metadata and tensors; dtype is left alone. A rope_freqs.weight
/// tensor is recognised as the llama3 scaling of the public Llama 3.1 to 3.3 checkpoints, or
/// refused.
LlamaConfig gguf_config(const GgufFile& file);

/// "Q4_0, Q4_1, ...": the block formats that are dequantized.
std::string gguf_block_types();

}  // namespace harness
