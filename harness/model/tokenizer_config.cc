#include "harness/model/tokenizer_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/core/error.h"
#include "harness/model/json.h"
#include "harness/model/mapped_file.h"
#include "harness/model/tokenizer_json.h"

namespace harness {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

Json read_json(const fs::path& path) {
  const MappedFile file(path);
  return parse_json({reinterpret_cast<const char*>(file.data()), file.size()}, path.string());
}

void put_token(AddedToken token, const std::string& where, TokenizerParts& parts) {
  const std::string* known = parts.model->token(token.id);
  if (known && *known != token.content)
    throw Error(where,
                fmt::format("the token {} is \"{}\", but \"{}\" in the vocabulary", token.id,
                            token.content, *known),
                "the files of one tokenizer", "fetch the tokenizer's files again, all of them");
  auto other = std::find_if(parts.added_tokens.begin(), parts.added_tokens.end(),
                            [&](const AddedToken& added) { return added.id == token.id; });
  if (other == parts.added_tokens.end())
    parts.added_tokens.push_back(std::move(token));
  else
    *other = std::move(token);
}

}  // namespace

std::optional<TokenizerConfig> read_tokenizer_config(const fs::path& folder) {
  const fs::path path = folder / "tokenizer_config.json";
  if (!fs::exists(path)) return std::nullopt;
  return TokenizerConfig{read_json(path), path.string()};
}

void apply_tokenizer_config(const TokenizerConfig& config, std::optional<bool> adds_bos,
                            TokenizerParts& parts) {
  JsonReader in(config.json, "tokenizer_config", config.where);
  auto take_id = [&](const char* key, std::optional<std::int64_t>& id) {
    const Json& value = in.at(key);
    if (value.is_null()) return;
    id.reset();
    const Json& content = value.is_object() ? value.value("content", Json()) : value;
    if (!content.is_string()) return;
    const auto text = content.get<std::string>();
    for (const AddedToken& token : parts.added_tokens) {
      if (token.content == text) {
        id = token.id;
        return;
      }
    }
    id = parts.model->find(text);
  };
  take_id("bos_token", parts.bos);
  take_id("eos_token", parts.eos);
  if (!adds_bos && in.at("add_bos_token").is_null() && in.at("add_eos_token").is_null()) return;
  parts.prefix.clear();
  parts.suffix.clear();
  if (in.boolean("add_bos_token", adds_bos.value_or(false)) && parts.bos)
    parts.prefix.push_back(*parts.bos);
  if (in.boolean("add_eos_token", false) && parts.eos) parts.suffix.push_back(*parts.eos);
}

void add_configured_tokens(const TokenizerConfig& config, const fs::path& folder,
                           TokenizerParts& parts) {
  if (const auto listed = config.json.find("added_tokens_decoder"); listed != config.json.end()) {
    for (const auto& [key, entry] : listed->items()) {
      JsonReader in(entry, "added_tokens_decoder", config.where);
      if (key.empty() || key.size() > 9 ||
          !std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; }))
        throw Error(config.where, fmt::format("added_tokens_decoder has the id \"{}\"", key),
                    "an integer of 0 or more");
      put_token({.content = in.text("content"),
                 .id = static_cast<TokenId>(std::stol(key)),
                 .special = in.boolean("special", false),
                 .single_word = in.boolean("single_word", false),
                 .lstrip = in.boolean("lstrip", false),
                 .rstrip = in.boolean("rstrip", false)},
                config.where, parts);
    }
  }
  const fs::path older = folder / "added_tokens.json";
  if (!fs::exists(older)) return;
  const Json tokens = read_json(older);
  JsonReader in(tokens, "added_tokens", older.string());
  for (const auto& [content, id] : tokens.items()) {
    const auto number = static_cast<TokenId>(in.count(content.c_str()));
    const bool listed = std::any_of(parts.added_tokens.begin(), parts.added_tokens.end(),
                                    [&](const AddedToken& token) { return token.id == number; });
    if (!listed) put_token({.content = content, .id = number}, older.string(), parts);
  }
}

std::string special_tokens_text(const TokenizerParts& parts) {
  std::string text = fmt::format("{} {}", parts.prefix.size(), parts.suffix.size());
  for (std::int64_t id : parts.prefix) text += fmt::format(" {}", id);
  for (std::int64_t id : parts.suffix) text += fmt::format(" {}", id);
  return text;
}

}  // namespace harness
