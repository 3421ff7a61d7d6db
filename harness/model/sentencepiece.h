#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/model/pipeline_tokenizer.h"

// SentencePiece's BPE tokenizers. The library itself is not linked: it needs libprotobuf, of which
// libtorch_cpu.so exports another version's symbols (232 of them in 2.11), and GGUF holds the same
// vocabularies without its file format.

namespace harness {

/// The types of SentencePiece's protobuf; GGUF's tokenizer.ggml.token_type has the same numbers.
enum class PieceType { normal = 1, unknown, control, user_defined, unused, byte };

struct Piece {
  std::string text;  // U+2581 for spaces
  float score = 0;
  PieceType type = PieceType::normal;
};

/// What a tokenizer.model says.
struct SentencePieceModel {
  std::vector<Piece> pieces;  // by id
  std::string charsmap;       // precompiled_charsmap; empty: characters stay as they are
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  std::string unknown_surface = " \u2047 ";  // what the unknown token decodes to
  std::optional<std::int64_t> bos, eos;
  std::string sha256;  // of the file
};

/// Reads a tokenizer.model.
/// @throws Error on a file that is none, or cut off, or of another algorithm than BPE
SentencePieceModel read_sentencepiece_model(const std::filesystem::path& path);

/// The bytes of a tokenizer.model, which sentencepiece and transformers read.
std::string sentencepiece_model_bytes(const SentencePieceModel& model);

/// How the tokenizer treats text beside the tokens found in it.
struct SentencePieceOptions {
  /// A space is put before every text between special tokens (`legacy` of transformers, and
  /// llama.cpp), else before the first only.
  bool prefix_after_special = true;
  /// User-defined pieces are found before the text is normalised, like control tokens (llama.cpp);
  /// else where SentencePiece finds them.
  bool user_defined_first = false;
};

/// The tokenizer of these pieces, but for the tokens that it adds around a text (prefix, suffix)
/// and its digest. Control tokens and the unknown token are found in the text, as transformers and
/// llama.cpp do and SentencePiece alone does not: conversations are written with them. What lies
/// between them becomes ids as in SentencePiece, and ids become text.
/// @throws Error on pieces that are no vocabulary
TokenizerParts sentencepiece_parts(const SentencePieceModel& model, SentencePieceOptions options,
                                   const std::string& where);

/// The tokenizer of a tokenizer.model and the tokenizer_config.json beside it. Without the latter
/// BOS is added, as transformers' LlamaTokenizer does.
TokenizerParts read_tokenizer_sentencepiece(const std::filesystem::path& path);

}  // namespace harness
