#pragma once

#include <array>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace harness {

/// A step that cuts the text into words (the `pre_tokenizer` of tokenizer.json).
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// Cuts every piece into smaller ones, and may rewrite them; no piece is empty afterwards.
  virtual void apply(std::vector<std::string>& pieces) const = 0;
};

/// Reads ByteLevel, Digits, Split, WhitespaceSplit and Sequence.
/// @param where the file's name, for messages
/// @throws Error that names a type which is not supported
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const nlohmann::json& config,
                                                 const std::string& where);

/// GPT-2's printable character for each byte (bytes_to_unicode of its encoder.py), as UTF-8.
const std::array<std::string, 256>& byte_characters();
/// The bytes that a token of byte_characters() stands for; a token with any other character is its
/// own text.
std::string bytes_of_token(const std::string& token);

}  // namespace harness
