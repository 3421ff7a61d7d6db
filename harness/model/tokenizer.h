#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

/// Text to token ids and back, exactly as the checkpoint's own tokenizer does it.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// @param text UTF-8; invalid bytes are replaced by U+FFFD first, as Python's errors="replace"
  /// does
  /// @param special whether the post-processor adds its tokens (BOS ...). Special tokens that stand
  /// in the
  ///                text are recognised either way, as the Hugging Face tokenizers do.
  virtual std::vector<std::int64_t> encode(std::string_view text, bool special) const = 0;
  /// The text of ids; bytes that form no UTF-8 become U+FFFD. Special tokens are kept.
  virtual std::string decode(const std::vector<std::int64_t>& ids) const = 0;
  /// The text that ids add behind others. Where those are more than special tokens the text goes
  /// on, so the space in front of a word stays that decode() drops at the start of a text.
  virtual std::string decode_after(const std::vector<std::int64_t>& before,
                                   const std::vector<std::int64_t>& ids) const {
    static_cast<void>(before);
    return decode(ids);
  }
  virtual std::int64_t vocabulary_size() const = 0;
  virtual std::optional<std::int64_t> bos() const = 0;
  virtual std::optional<std::int64_t> eos() const = 0;
  /// Whether the tokenizer adds BOS by default.
  virtual bool adds_bos() const = 0;
  virtual std::optional<std::int64_t> token_to_id(std::string_view token) const = 0;
  /// SHA-256 over everything that can change ids.
  virtual std::string digest() const = 0;
};

/// Reads the tokenizer of a checkpoint: tokenizer.json; tokenizer.model, which is SentencePiece's
/// (Llama 2, Mistral) or the ranks of tiktoken (Llama 3); or a .gguf file's vocabulary. Beside the
/// first two tokenizer_config.json is read. In a folder that is their order too, as in
/// transformers: where tokenizer.json and tokenizer.model both stand, the first counts and the
/// other is not looked at. `reference` as open_checkpoint takes it, or one of these files itself.
/// @throws Error on an unsupported model, normaliser, pre-tokenizer or post-processor, naming it
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& reference);

/// The file that open_tokenizer reads: tokenizer.json, tokenizer.model or a .gguf file.
/// @throws Error when there is none
std::filesystem::path find_tokenizer_file(const std::string& reference);

}  // namespace harness
