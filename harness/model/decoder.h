#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace harness {

/// A step that turns tokens into text (the `decoder` of tokenizer.json).
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Rewrites the tokens; the text is what they are together.
  /// @param at_start whether the first of them begins the text: only there a space is dropped that
  ///                 the tokenizer had put before the text
  virtual void apply(std::vector<std::string>& tokens, bool at_start) const = 0;
};

/// Reads ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Strip and Sequence.
/// @param where the file's name, for messages
/// @throws Error that names a type which is not supported
std::unique_ptr<Decoder> make_decoder(const nlohmann::json& config, const std::string& where);

/// The decoder {"type": "ByteLevel"}: tokens are of byte_characters().
std::unique_ptr<Decoder> make_byte_level_decoder();

/// The byte that a token <0xHH> stands for; -1 for another token.
int byte_of_token(const std::string& token);

}  // namespace harness
