#include "harness/model/tokenizer_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/core/log.h"
#include "harness/model/bpe.h"
#include "harness/model/tokenizer_config.h"
#include "harness/model/unicode.h"
#include "harness/model/word_level.h"

namespace harness {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

const Json kNull;

Json parse_file(const fs::path& path, std::string& text) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream content;
  if (in) content << in.rdbuf();
  if (!in) throw Error(path.string(), "cannot be read", "a JSON file", "check its permissions");
  text = content.str();
  try {
    return Json::parse(text);
  } catch (const Json::exception& problem) {
    throw Error(path.string(), fmt::format("is no valid JSON ({})", problem.what()),
                "a JSON object", "fetch the file again");
  }
}

TokenId read_id(const Json& id, const std::string& token, const std::string& where) {
  if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() > INT32_MAX)
    throw Error(where, fmt::format("the token \"{}\" has the id {}", token, id.dump()),
                "an integer from 0 to 2^31 - 1");
  return id.get<TokenId>();
}

std::pair<std::string, std::string> read_merge(const Json& merge, const std::string& where) {
  if (merge.is_string()) {
    auto text = merge.get<std::string>();
    std::size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos)
      return {text.substr(0, space), text.substr(space + 1)};
  } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
             merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  throw Error(where, fmt::format("a merge of the model is {}", merge.dump()),
              "\"a b\" or [\"a\", \"b\"]");
}

TextMap<TokenId> read_vocabulary(const JsonReader& in, const std::string& where) {
  if (!in.at("vocab").is_object()) in.wrong("vocab", "an object of tokens and ids");
  TextMap<TokenId> vocabulary;
  for (const auto& [token, id] : in.at("vocab").items())
    vocabulary[token] = read_id(id, token, where);
  return vocabulary;
}

std::unique_ptr<Bpe> read_bpe(const JsonReader& in, const std::string& where) {
  if (!in.at("dropout").is_null() && in.at("dropout") != 0.0)
    in.unsupported(fmt::format("dropout {}", in.at("dropout").dump()), "null");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!in.at(affix).is_null() && !in.text(affix).empty())
      in.unsupported(fmt::format("{} \"{}\"", affix, in.text(affix)), "null");
  }
  BpeOptions options;
  if (!in.at("unk_token").is_null()) options.unk_token = in.text("unk_token");
  options.fuse_unk = in.boolean("fuse_unk", false);
  options.ignore_merges = in.boolean("ignore_merges", false);
  options.byte_fallback = in.boolean("byte_fallback", false);
  std::vector<std::pair<std::string, std::string>> merges;
  for (const Json& merge : in.array("merges")) merges.push_back(read_merge(merge, where));
  return std::make_unique<Bpe>(read_vocabulary(in, where), merges, std::move(options), where);
}

std::unique_ptr<TokenModel> read_model(const Json& config, const std::string& where) {
  JsonReader in(config, "model", where);
  // Files of old versions name no type; theirs is told by the merges.
  std::string type =
      in.at("type").is_null() && !in.at("merges").is_null() ? "BPE" : in.text("type");
  if (type == "BPE") return read_bpe(in, where);
  if (type == "WordLevel")
    return std::make_unique<WordLevel>(read_vocabulary(in, where), in.text("unk_token"), where);
  in.unsupported(fmt::format("the type \"{}\"", type), "BPE or WordLevel");
}

/// Ids as tokenizers gives them: the model's if it has the token, else the next one that is free.
std::vector<AddedToken> read_added_tokens(const Json& list, const TokenModel& model,
                                          const std::string& where) {
  std::vector<AddedToken> tokens;
  TokenId next = static_cast<TokenId>(model.size());
  if (list.is_null()) return tokens;
  if (!list.is_array()) throw Error(where, "added_tokens is no list", "a list of tokens");
  for (const Json& entry : list) {
    JsonReader in(entry, "added_tokens", where);
    AddedToken token;
    token.content = in.text("content");
    if (token.content.empty()) continue;
    token.special = in.boolean("special", false);
    token.normalized = in.boolean("normalized", !token.special);
    token.single_word = in.boolean("single_word", false);
    token.lstrip = in.boolean("lstrip", false);
    token.rstrip = in.boolean("rstrip", false);
    TokenId stated = read_id(in.at("id"), token.content, where);
    auto before = std::find_if(tokens.begin(), tokens.end(), [&](const AddedToken& other) {
      return other.content == token.content;
    });
    if (before != tokens.end()) {
      token.id = before->id;
      *before = token;
      continue;
    }
    auto known = model.find(token.content);
    token.id = known ? *known : next;
    if (!known) ++next;
    for (const AddedToken& other : tokens) next = std::max(next, other.id + 1);
    if (token.id != stated)
      log_warning(fmt::format("{}: the added token \"{}\" says id {} but gets {}, as in tokenizers",
                              where, token.content, stated, token.id));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

/// What a post-processor adds before and after the text.
void read_post_processor(const Json& config, const std::string& where, TokenizerParts& parts) {
  if (config.is_null()) return;
  JsonReader in(config, "post_processor", where);
  std::string type = in.text("type");
  if (type == "ByteLevel") return;  // it moves offsets only
  if (type == "Sequence") {
    int templates = 0;
    for (const Json& step : in.array("processors")) {
      read_post_processor(step, where, parts);
      if (JsonReader(step, "post_processor", where).text("type") == "TemplateProcessing")
        ++templates;
    }
    if (templates > 1) in.unsupported("several TemplateProcessing in a Sequence", "one");
    return;
  }
  if (type != "TemplateProcessing")
    in.unsupported(fmt::format("the type \"{}\"", type),
                   "ByteLevel, TemplateProcessing or Sequence");
  bool text_seen = false;
  for (const Json& piece : in.array("single")) {
    if (piece.contains("Sequence")) {
      if (text_seen) in.unsupported("a template that repeats the text", "one Sequence");
      text_seen = true;
      continue;
    }
    try {
      auto name = piece.at("SpecialToken").at("id").get<std::string>();
      auto ids = in.at("special_tokens").at(name).at("ids").get<std::vector<std::int64_t>>();
      auto& side = text_seen ? parts.suffix : parts.prefix;
      side.insert(side.end(), ids.begin(), ids.end());
    } catch (const Json::exception&) {
      throw Error(where, fmt::format("post_processor.single has {}", piece.dump()),
                  "a Sequence, or a SpecialToken that special_tokens lists with its ids");
    }
  }
  if (!text_seen) in.unsupported("a template without the text", "one Sequence");
}

}  // namespace

JsonReader::JsonReader(const Json& config, std::string part, std::string where)
    : config_(config), part_(std::move(part)), where_(std::move(where)) {
  if (!config_.is_object())
    throw Error(where_, fmt::format("{} is {}", part_, config_.dump()), "an object");
}

const Json& JsonReader::at(const char* key) const {
  auto found = config_.find(key);
  return found == config_.end() ? kNull : *found;
}

std::string JsonReader::text(const char* key) const {
  if (!at(key).is_string()) wrong(key, "a string");
  return at(key).get<std::string>();
}

bool JsonReader::boolean(const char* key, bool otherwise) const {
  if (at(key).is_null()) return otherwise;
  if (!at(key).is_boolean()) wrong(key, "true or false");
  return at(key).get<bool>();
}

std::string JsonReader::character(const char* key) const {
  const std::string value = text(key);
  if (value.empty() || value.size() != utf8_length(value.front())) wrong(key, "one character");
  return value;
}

std::int64_t JsonReader::count(const char* key) const {
  if (!at(key).is_number_integer() || at(key).get<std::int64_t>() < 0)
    wrong(key, "an integer of 0 or more");
  return at(key).get<std::int64_t>();
}

const Json& JsonReader::array(const char* key) const {
  if (!at(key).is_array()) wrong(key, "a list");
  return at(key);
}

bool JsonReader::pattern_is_regex() const { return at("pattern").contains("Regex"); }

std::string JsonReader::pattern() const {
  const Json& value = at("pattern");
  for (const char* kind : {"Regex", "String"}) {
    if (value.is_object() && value.contains(kind) && value[kind].is_string()) {
      auto text = value[kind].get<std::string>();
      return pattern_is_regex() ? text : Regex::escape(text);
    }
  }
  wrong("pattern", "{\"Regex\": ...} or {\"String\": ...}");
}

void JsonReader::unsupported(const std::string& what, const std::string& expected) const {
  throw Error(where_, fmt::format("{} has {}, which is not supported", part_, what), expected);
}

void JsonReader::wrong(const char* key, const std::string& expected) const {
  std::string found = at(key).is_null() ? "missing" : at(key).dump();
  if (found.size() > 100) found = found.substr(0, 100) + "...";
  throw Error(where_, fmt::format("{}.{} is {}", part_, key, found), expected);
}

TokenizerParts read_tokenizer_json(const fs::path& path) {
  std::string where = path.string(), text;
  Json root = parse_file(path, text);
  JsonReader in(root, "the tokenizer", where);
  TokenizerParts parts;
  if (!in.at("normalizer").is_null())
    parts.normalizer = make_normalizer(in.at("normalizer"), where);
  if (!in.at("pre_tokenizer").is_null())
    parts.pre_tokenizer = make_pre_tokenizer(in.at("pre_tokenizer"), where);
  parts.model = read_model(in.at("model"), where);
  parts.added_tokens = read_added_tokens(in.at("added_tokens"), *parts.model, where);
  read_post_processor(in.at("post_processor"), where, parts);
  if (!in.at("decoder").is_null()) parts.decoder = make_decoder(in.at("decoder"), where);
  // A first token of the template is BOS unless tokenizer_config.json says otherwise.
  if (!parts.prefix.empty()) parts.bos = parts.prefix.front();

  Sha256 digest;
  digest.update(text);
  if (const auto config = read_tokenizer_config(path.parent_path())) {
    parts.bos.reset();
    apply_tokenizer_config(*config, /*adds_bos=*/std::nullopt, parts);
    digest.update(special_tokens_text(parts));
  }
  parts.digest = digest.hex();
  return parts;
}

}  // namespace harness
