#include "harness/model/tokenizer_gguf.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/model/bpe.h"
#include "harness/model/gguf.h"

namespace harness {
namespace {

using Json = nlohmann::json;

// llama.cpp's LLAMA_TOKEN_TYPE_*.
constexpr std::int64_t kControl = 3;
constexpr std::int64_t kUserDefined = 4;

/// What a name in tokenizer.ggml.pre stands for: the normaliser and pre-tokenizer of the
/// tokenizer.json from which llama.cpp's converter derives that name (get_vocab_base_pre of
/// convert_hf_to_gguf.py).
struct Family {
  const char* normalizer;
  const char* pre_tokenizer;
  bool ignore_merges;
};

constexpr const char* kByteLevel =
    R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true})";
constexpr const char* kDigitsByteLevel = R"({"type": "Sequence", "pretokenizers": [
  {"type": "Digits", "individual_digits": true},
  {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]})";
constexpr const char* kLlama3 = R"json({"type": "Sequence", "pretokenizers": [
  {"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex":
   "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
  {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})json";

const std::map<std::string, Family> kFamilies = {
    {"gpt-2", {"null", kByteLevel, false}},
    {"smollm", {"null", kDigitsByteLevel, false}},
    {"starcoder", {"null", kDigitsByteLevel, false}},
    {"olmo", {R"({"type": "NFC"})", kByteLevel, false}},  // GPT-NeoX
    {"llama-bpe", {"null", kLlama3, true}},
};

const Family& family_of(const GgufFile& gguf, const std::string& where) {
  const auto& model = gguf.get<std::string>("tokenizer.ggml.model");
  if (model != "gpt2")
    throw Error(where, fmt::format("tokenizer.ggml.model is \"{}\", which is not supported", model),
                "\"gpt2\" (byte-level BPE)");
  const auto* pre = gguf.find<std::string>("tokenizer.ggml.pre");
  auto found = kFamilies.find(pre ? *pre : "");
  if (found == kFamilies.end()) {
    std::string names;
    for (const auto& [name, family] : kFamilies) names += (names.empty() ? "" : ", ") + name;
    throw Error(where,
                pre ? fmt::format("tokenizer.ggml.pre is \"{}\", which is not supported", *pre)
                    : "the metadata has no tokenizer.ggml.pre",
                "one of " + names, "use the model's safetensors with its tokenizer.json");
  }
  return found->second;
}

}  // namespace

TokenizerParts read_tokenizer_gguf(const std::filesystem::path& path) {
  std::string where = path.string();
  GgufFile gguf = read_gguf(path);
  const Family& family = family_of(gguf, where);
  const auto& tokens = gguf.get<std::vector<std::string>>("tokenizer.ggml.tokens");
  const auto& merge_texts = gguf.get<std::vector<std::string>>("tokenizer.ggml.merges");
  const auto* types = gguf.find<std::vector<std::int64_t>>("tokenizer.ggml.token_type");
  if (types && types->size() != tokens.size())
    throw Error(where, fmt::format("{} token types for {} tokens", types->size(), tokens.size()),
                "one type a token");

  TokenizerParts parts;
  Sha256 digest;
  digest.update(gguf.get<std::string>("tokenizer.ggml.pre"));
  TextMap<TokenId> vocabulary;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    auto id = static_cast<TokenId>(i);
    std::int64_t type = types ? (*types)[i] : 1;
    if (!vocabulary.emplace(tokens[i], id).second)
      throw Error(where, fmt::format("the token \"{}\" stands twice in the vocabulary", tokens[i]),
                  "distinct tokens");
    if (type == kControl || type == kUserDefined) {
      bool special = type == kControl;
      parts.added_tokens.push_back(
          {.content = tokens[i], .id = id, .special = special, .normalized = !special});
    }
    digest.update(fmt::format("\n{} {} {}", tokens[i].size(), type, tokens[i]));
  }
  std::vector<std::pair<std::string, std::string>> merges;
  for (const std::string& text : merge_texts) {
    // A token of byte characters holds no space, but llama.cpp looks for it behind the first byte.
    std::size_t space = text.find(' ', 1);
    if (space == std::string::npos || space + 1 == text.size())
      throw Error(where, fmt::format("a merge is \"{}\"", text), "\"a b\"");
    merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    digest.update(fmt::format("\n{} {}", text.size(), text));
  }
  BpeOptions options;
  options.ignore_merges = family.ignore_merges;
  parts.model = std::make_unique<Bpe>(std::move(vocabulary), merges, options, where);
  if (Json normalizer = Json::parse(family.normalizer); !normalizer.is_null())
    parts.normalizer = make_normalizer(normalizer, where);
  parts.pre_tokenizer = make_pre_tokenizer(Json::parse(family.pre_tokenizer), where);

  auto id_of = [&](const char* key) -> std::optional<std::int64_t> {
    const auto* id = gguf.find<std::int64_t>(key);
    if (!id) return std::nullopt;
    if (*id < 0 || static_cast<std::size_t>(*id) >= tokens.size())
      throw Error(where, fmt::format("{} is {}", key, *id),
                  fmt::format("an id of the {} tokens", tokens.size()));
    return *id;
  };
  auto flag = [&](const char* key) {
    const auto* value = gguf.find<bool>(key);
    return value && *value;
  };
  parts.bos = id_of("tokenizer.ggml.bos_token_id");
  parts.eos = id_of("tokenizer.ggml.eos_token_id");
  if (flag("tokenizer.ggml.add_bos_token") && parts.bos) parts.prefix.push_back(*parts.bos);
  if (flag("tokenizer.ggml.add_eos_token") && parts.eos) parts.suffix.push_back(*parts.eos);
  digest.update(fmt::format("\n{} {}", parts.prefix.size(), parts.suffix.size()));
  parts.digest = digest.hex();
  return parts;
}

std::string tokenizer_json_of_gguf(const std::filesystem::path& path) {
  // Everything that could be wrong is found by the reader.
  const TokenizerParts parts = read_tokenizer_gguf(path);
  const GgufFile gguf = read_gguf(path);
  const Family& family = family_of(gguf, path.string());
  const auto& tokens = gguf.get<std::vector<std::string>>("tokenizer.ggml.tokens");
  Json vocabulary = Json::object(), added = Json::array();
  for (std::size_t id = 0; id < tokens.size(); ++id) vocabulary[tokens[id]] = id;
  for (const AddedToken& token : parts.added_tokens)
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", token.single_word},
                     {"lstrip", token.lstrip},
                     {"rstrip", token.rstrip},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  Json post_processor;
  if (!parts.prefix.empty() || !parts.suffix.empty()) {
    Json single = Json::array(), special = Json::object();
    auto put = [&](const std::vector<std::int64_t>& ids) {
      for (std::int64_t id : ids) {
        const std::string& token = tokens[static_cast<std::size_t>(id)];
        single.push_back({{"SpecialToken", {{"id", token}, {"type_id", 0}}}});
        special[token] = {
            {"id", token}, {"ids", Json::array({id})}, {"tokens", Json::array({token})}};
      }
    };
    put(parts.prefix);
    single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
    put(parts.suffix);
    Json pair = single;  // the library wants both texts in it
    pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
    post_processor = {{"type", "TemplateProcessing"},
                      {"single", single},
                      {"pair", pair},
                      {"special_tokens", special}};
  }
  const Json model = {{"type", "BPE"},
                      {"dropout", nullptr},
                      {"unk_token", nullptr},
                      {"continuing_subword_prefix", nullptr},
                      {"end_of_word_suffix", nullptr},
                      {"fuse_unk", false},
                      {"byte_fallback", false},
                      {"ignore_merges", family.ignore_merges},
                      {"vocab", vocabulary},
                      {"merges", gguf.get<std::vector<std::string>>("tokenizer.ggml.merges")}};
  const Json file = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", added},
                     {"normalizer", Json::parse(family.normalizer)},
                     {"pre_tokenizer", Json::parse(family.pre_tokenizer)},
                     {"post_processor", post_processor},
                     {"decoder",
                      {{"type", "ByteLevel"},
                       {"add_prefix_space", true},
                       {"trim_offsets", true},
                       {"use_regex", true}}},
                     {"model", model}};
  return file.dump();
}

}  // namespace harness
