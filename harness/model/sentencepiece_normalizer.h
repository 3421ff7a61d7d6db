#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/model/normalizer.h"
#include "harness/model/prefix_set.h"

namespace harness {

/// What SentencePiece has in a space's place.
inline constexpr std::string_view kSentencePieceSpace = "\u2581";

/// SentencePiece's normalisation but for the space before the text (src/normalizer.cc): characters
/// replaced by the rules of the model, spaces by U+2581, extra ones removed where the model says
/// so.
class SentencePieceNormalizer : public Normalizer {
 public:
  /// @param charsmap   precompiled_charsmap of the model; empty: no rules
  /// @param untouched  user-defined pieces, which stay as they are
  /// @throws Error when the charsmap is damaged
  SentencePieceNormalizer(std::string_view charsmap, PrefixSet untouched,
                          bool remove_extra_whitespaces, const std::string& where);

  std::string apply(std::string_view text) const override;

 private:
  /// The front of `text` normalised, and its bytes.
  std::pair<std::string_view, std::size_t> front(std::string_view text) const;
  std::optional<std::pair<std::string_view, std::size_t>> rule(std::string_view text) const;

  std::vector<std::uint32_t> trie_;  // a double array of darts-clone
  std::string replacements_;         // each ends with a zero byte
  PrefixSet untouched_;
  bool remove_extra_whitespaces_;
};

}  // namespace harness
