#include "harness/model/tokenizer_gguf.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/model/bpe.h"
#include "harness/model/gguf.h"
#include "harness/model/pretokenizer_families.h"
#include "harness/model/sentencepiece.h"
#include "harness/model/tokenizer_config.h"
#include "harness/model/unicode.h"

namespace harness {
namespace {

using Json = nlohmann::json;

// llama.cpp's LLAMA_TOKEN_TYPE_*.
constexpr std::int64_t kControl = 3;
constexpr std::int64_t kUserDefined = 4;

constexpr SentencePieceOptions kLlamaCpp{.prefix_after_special = true, .user_defined_first = true};

const PreTokenizerFamily& family_of(const GgufFile& gguf, const std::string& where) {
  const auto* pre = gguf.find<std::string>("tokenizer.ggml.pre");
  const PreTokenizerFamily* family = find_pre_tokenizer_family(pre ? *pre : "");
  if (!family)
    throw Error(where,
                pre ? fmt::format("tokenizer.ggml.pre is \"{}\", which is not supported", *pre)
                    : "the metadata has no tokenizer.ggml.pre",
                fmt::format("one of {}", fmt::join(pre_tokenizer_family_names(), ", ")),
                "use the model's safetensors with its tokenizer.json");
  return *family;
}

bool is_sentencepiece(const GgufFile& gguf, const std::string& where) {
  const auto& model = gguf.get<std::string>("tokenizer.ggml.model");
  if (model != "gpt2" && model != "llama")
    throw Error(where, fmt::format("tokenizer.ggml.model is \"{}\", which is not supported", model),
                "\"gpt2\" (byte-level BPE) or \"llama\" (SentencePiece)",
                "use the model's safetensors with its tokenizer.json");
  return model == "llama";
}

std::optional<std::int64_t> token_id(const GgufFile& gguf, const char* key, std::size_t tokens,
                                     const std::string& where) {
  const auto* id = gguf.find<std::int64_t>(key);
  if (!id) return std::nullopt;
  if (*id < 0 || static_cast<std::size_t>(*id) >= tokens)
    throw Error(where, fmt::format("{} is {}", key, *id),
                fmt::format("an id of the {} tokens", tokens));
  return *id;
}

bool flag(const GgufFile& gguf, const char* key, bool otherwise) {
  const auto* value = gguf.find<bool>(key);
  return value ? *value : otherwise;
}

/// The values of an array that has one a token.
template <class T>
const std::vector<T>& per_token(const GgufFile& gguf, const char* key, std::size_t tokens,
                                const std::string& where) {
  const auto& values = gguf.get<std::vector<T>>(key);
  if (values.size() != tokens)
    throw Error(where, fmt::format("{} has {} values for {} tokens", key, values.size(), tokens),
                "one a token");
  return values;
}

/// Which tokens are BOS and EOS, and whether they are added.
void read_special_tokens(const GgufFile& gguf, bool adds_bos, std::size_t tokens,
                         const std::string& where, TokenizerParts& parts) {
  if (const auto bos = token_id(gguf, "tokenizer.ggml.bos_token_id", tokens, where))
    parts.bos = bos;
  if (const auto eos = token_id(gguf, "tokenizer.ggml.eos_token_id", tokens, where))
    parts.eos = eos;
  if (flag(gguf, "tokenizer.ggml.add_bos_token", adds_bos) && parts.bos)
    parts.prefix.push_back(*parts.bos);
  if (flag(gguf, "tokenizer.ggml.add_eos_token", false) && parts.eos)
    parts.suffix.push_back(*parts.eos);
}

SentencePieceModel sentencepiece_of_gguf(const GgufFile& gguf, const std::string& where) {
  const auto& tokens = gguf.get<std::vector<std::string>>("tokenizer.ggml.tokens");
  const auto& scores = per_token<double>(gguf, "tokenizer.ggml.scores", tokens.size(), where);
  const auto& types =
      per_token<std::int64_t>(gguf, "tokenizer.ggml.token_type", tokens.size(), where);
  SentencePieceModel model;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (types[i] < 1 || types[i] > static_cast<int>(PieceType::byte) || tokens[i].empty())
      throw Error(where, fmt::format("token {} is \"{}\" of type {}", i, tokens[i], types[i]),
                  "text of a type from 1 to 6");
    model.pieces.push_back(
        {tokens[i], static_cast<float>(scores[i]), static_cast<PieceType>(types[i])});
  }
  model.add_dummy_prefix = flag(gguf, "tokenizer.ggml.add_space_prefix", true);
  model.remove_extra_whitespaces = false;  // llama.cpp has this for its unigram vocabularies alone
  // What llama.cpp takes where the file names none.
  auto usual = [&](std::int64_t id, const char* key) {
    const auto stated = token_id(gguf, key, tokens.size(), where);
    return stated || tokens.size() <= static_cast<std::size_t>(id) ? stated : std::optional(id);
  };
  model.bos = usual(1, "tokenizer.ggml.bos_token_id");
  model.eos = usual(2, "tokenizer.ggml.eos_token_id");
  return model;
}

TokenizerParts read_sentencepiece(const GgufFile& gguf, const std::string& where) {
  const SentencePieceModel model = sentencepiece_of_gguf(gguf, where);
  TokenizerParts parts = sentencepiece_parts(model, kLlamaCpp, where);
  read_special_tokens(gguf, /*adds_bos=*/true, model.pieces.size(), where, parts);
  Sha256 digest;
  digest.update(sentencepiece_model_bytes(model));
  digest.update(special_tokens_text(parts));
  parts.digest = digest.hex();
  return parts;
}

TokenizerParts read_byte_level_bpe(const GgufFile& gguf, const std::string& where) {
  const PreTokenizerFamily& family = family_of(gguf, where);
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
    if (!is_utf8(tokens[i])) throw Error(where, fmt::format("the token {} is no UTF-8", i), "text");
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
  parts.decoder = make_byte_level_decoder();
  read_special_tokens(gguf, family.adds_bos, tokens.size(), where, parts);
  digest.update(fmt::format("\n{} {}", parts.prefix.size(), parts.suffix.size()));
  parts.digest = digest.hex();
  return parts;
}

}  // namespace

TokenizerParts read_tokenizer_gguf(const std::filesystem::path& path) {
  const std::string where = path.string();
  const GgufFile gguf = read_gguf(path);
  return is_sentencepiece(gguf, where) ? read_sentencepiece(gguf, where)
                                       : read_byte_level_bpe(gguf, where);
}

std::string tokenizer_model_of_gguf(const std::filesystem::path& path) {
  const std::string where = path.string();
  const GgufFile gguf = read_gguf(path);
  return is_sentencepiece(gguf, where)
             ? sentencepiece_model_bytes(sentencepiece_of_gguf(gguf, where))
             : std::string();
}

std::string tokenizer_json_of_gguf(const std::filesystem::path& path) {
  // Everything that could be wrong is found by the reader.
  const TokenizerParts parts = read_tokenizer_gguf(path);
  const GgufFile gguf = read_gguf(path);
  const PreTokenizerFamily& family = family_of(gguf, path.string());
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
