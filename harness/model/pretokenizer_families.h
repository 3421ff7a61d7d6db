#pragma once

#include <string>
#include <vector>

namespace harness {

/// A family of byte-level BPE tokenizers, which files without a tokenizer.json name or are known to
/// be of: the parts of the tokenizer.json that its checkpoints come with.
struct PreTokenizerFamily {
  const char* name;           // llama.cpp's, as in tokenizer.ggml.pre
  const char* normalizer;     // JSON
  const char* pre_tokenizer;  // JSON
  bool ignore_merges = false;
  bool adds_bos = false;  // where the file does not say
};

/// Null when there is none of that name.
const PreTokenizerFamily* find_pre_tokenizer_family(const std::string& name);
std::vector<std::string> pre_tokenizer_family_names();

}  // namespace harness
