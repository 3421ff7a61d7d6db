#pragma once

#include <string>

namespace harness {

/// A text to perplex or to calibrate on.
struct TextCorpus {
  std::string
      name;  // in protocol names: "wikitext2-test", "boolq-wiki-measure", or the file's name
  std::string text;    // UTF-8
  std::string digest;  // SHA-256 of text
  std::string
      source;  // the file, relative to the cache or data folder it was found in: for provenance
};

/// Finds a text by its name or path:
/// - "boolq-wiki-measure", "boolq-wiki-calibrate": the halves of halve_passages (boolq_wiki.h),
/// joined
///   with an empty line;
/// - "wikitext2-test", "wikitext2-train", or the path of a file that is called wiki.test.raw,
///   wikitext2.test.raw (train likewise): the rows of wikitext.h, joined with "\n\n" as the
///   quantization papers do (evals.md: the test split then has 1,294,336 characters);
/// - "world-test", "world-calibrate": texts of the world, generated (world.h);
/// - "c4-train", "c4-validation": documents of C4 (documents.h);
/// - the path of JSON lines, compressed or not: their documents (documents.h), joined with an empty
///   line;
/// - the path of any other UTF-8 file, taken byte for byte.
/// @param data_dir where files are looked for first; may be empty
/// @throws Error that names every place looked at; empty text and invalid UTF-8 are errors
TextCorpus load_text(const std::string& name, const std::string& data_dir);

/// Throws the Error that load_text would throw for a missing file, without reading the text.
void check_text(const std::string& name, const std::string& data_dir);

/// TextCorpus::name of what `name` stands for, without looking at any file.
std::string text_name(const std::string& name);

}  // namespace harness
