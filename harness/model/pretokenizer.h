#pragma once

#include <array>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace harness {

/// A text on its way to the model.
struct Words {
  std::vector<std::string> pieces;
  bool at_start = true;  // whether the first piece begins the text: no token was found before it
};

/// A step that cuts the text into words (the `pre_tokenizer` of tokenizer.json).
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// Cuts every piece into smaller ones, and may rewrite them; no piece is empty afterwards.
  virtual void apply(Words& words) const = 0;
};

/// Reads ByteLevel, Digits, Metaspace, Split, WhitespaceSplit and Sequence.
/// @param where the file's name, for messages
/// @throws Error that names a type which is not supported
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const nlohmann::json& config,
                                                 const std::string& where);

class JsonReader;

/// Metaspace, which pre-tokenizer and decoder share: a visible character stands for the space.
struct MetaspaceOptions {
  enum class Prepend { never, first, always };  // before which pieces one is put, if none is there
  std::string replacement;
  Prepend prepend = Prepend::always;
  bool split = true;  // before every replacement
};
MetaspaceOptions read_metaspace(const JsonReader& in);

/// GPT-2's printable character for each byte (bytes_to_unicode of its encoder.py), as UTF-8.
const std::array<std::string, 256>& byte_characters();
/// The bytes that a token of byte_characters() stands for; a token with any other character is its
/// own text.
std::string bytes_of_token(const std::string& token);

}  // namespace harness
