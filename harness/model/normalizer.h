#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

/// A step that rewrites the text before it is split (the `normalizer` of tokenizer.json).
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// @param text valid UTF-8
  virtual std::string apply(std::string_view text) const = 0;
};

/// Reads NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Replace, Prepend and Sequence.
/// @param where the file's name, for messages
/// @throws Error that names a type which is not supported
std::unique_ptr<Normalizer> make_normalizer(const nlohmann::json& config, const std::string& where);

}  // namespace harness
