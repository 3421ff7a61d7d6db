#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "harness/model/pipeline_tokenizer.h"

namespace harness {

/// One part of a tokenizer.json ("normalizer"), read with messages that name the file and the part.
class JsonReader {
 public:
  /// @throws Error when `config` is no object
  JsonReader(const nlohmann::json& config, std::string part, std::string where);

  std::string text(const char* key) const;
  bool boolean(const char* key, bool otherwise) const;
  /// A string of one character.
  std::string character(const char* key) const;
  /// An integer of 0 or more.
  std::int64_t count(const char* key) const;
  const nlohmann::json& array(const char* key) const;
  /// `pattern` of Split and Replace as a regular expression: {"Regex": ...} or {"String": ...}.
  std::string pattern() const;
  bool pattern_is_regex() const;
  /// The value of that key, or JSON null.
  const nlohmann::json& at(const char* key) const;

  [[noreturn]] void unsupported(const std::string& what, const std::string& expected = {}) const;
  [[noreturn]] void wrong(const char* key, const std::string& expected) const;

 private:
  const nlohmann::json& config_;
  std::string part_, where_;
};

/// Reads a tokenizer.json and, where the file stands beside it, tokenizer_config.json. (`legacy`
/// and `add_prefix_space` of that file count for no tokenizer.json: its normaliser and
/// pre-tokenizer say it.)
/// @throws Error on malformed JSON and on everything that is not supported, naming it
TokenizerParts read_tokenizer_json(const std::filesystem::path& path);

}  // namespace harness
