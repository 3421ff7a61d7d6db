#include "harness/model/pretokenizer_families.h"

#include <algorithm>
#include <iterator>

namespace harness {
namespace {

constexpr const char* kNone = "null";
constexpr const char* kNfc = R"({"type": "NFC"})";

constexpr const char* kByteLevel =
    R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true})";
constexpr const char* kDigitsByteLevel = R"({"type": "Sequence", "pretokenizers": [
  {"type": "Digits", "individual_digits": true},
  {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]})";
constexpr const char* kLlama3 = R"json({"type": "Sequence", "pretokenizers": [
  {"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex":
   "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
  {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})json";
// Llama 3's, but for single digits.
constexpr const char* kQwen2 = R"json({"type": "Sequence", "pretokenizers": [
  {"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex":
   "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
  {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})json";
// Mistral NeMo and later.
constexpr const char* kTekken = R"json({"type": "Sequence", "pretokenizers": [
  {"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex":
   "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
  {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})json";

// Names: get_vocab_base_pre of llama.cpp's convert_hf_to_gguf.py, which derives them from the
// tokenizer.json. Flags: llama_vocab::impl::load.
const PreTokenizerFamily kFamilies[] = {
    {"gpt-2", kNone, kByteLevel},
    {"llama-bpe", kNone, kLlama3, /*ignore_merges=*/true, /*adds_bos=*/true},
    {"olmo", kNfc, kByteLevel},  // GPT-NeoX
    {"qwen2", kNfc, kQwen2},
    {"smollm", kNone, kDigitsByteLevel},
    {"starcoder", kNone, kDigitsByteLevel},
    {"tekken", kNone, kTekken, /*ignore_merges=*/true, /*adds_bos=*/true},
};

}  // namespace

const PreTokenizerFamily* find_pre_tokenizer_family(const std::string& name) {
  const auto* found = std::find_if(std::begin(kFamilies), std::end(kFamilies),
                                   [&](const auto& family) { return name == family.name; });
  return found == std::end(kFamilies) ? nullptr : found;
}

std::vector<std::string> pre_tokenizer_family_names() {
  std::vector<std::string> names;
  for (const PreTokenizerFamily& family : kFamilies) names.push_back(family.name);
  return names;
}

}  // namespace harness
