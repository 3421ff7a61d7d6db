#include "harness/model/tokenizer_tiktoken.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/model/mapped_file.h"
#include "harness/model/pretokenizer_families.h"
#include "harness/model/scored_bpe.h"
#include "harness/model/tokenizer_config.h"

namespace harness {
namespace {

constexpr int kSpecialTokens = 256;
constexpr const char* kNamedTokens[] = {
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|reserved_special_token_0|>",
    "<|reserved_special_token_1|>",
    "<|finetune_right_pad_id|>",
    "<|step_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
    "<|image|>",
};

/// Nothing when it is no base64 (RFC 4648, with padding).
std::optional<std::string> decode_base64(std::string_view text) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::string bytes;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : text.substr(0, text.size() - padding)) {
    const std::size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes += static_cast<char>(bits >> held);
    bits &= (1u << held) - 1;
  }
  return bytes;
}

struct Rank {
  std::string bytes;
  std::size_t rank;
};

/// Nothing when the line is no token and rank.
std::optional<Rank> read_line(std::string_view line) {
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  auto bytes = decode_base64(line.substr(0, space));
  Rank result{bytes.value_or(""), 0};
  const char* end = line.data() + line.size();
  const auto [stop, problem] = std::from_chars(line.data() + space + 1, end, result.rank);
  if (!bytes || problem != std::errc() || stop != end) return std::nullopt;
  return result;
}

std::string in_byte_characters(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += byte_characters()[static_cast<unsigned char>(byte)];
  return text;
}

/// Tokens in byte_characters(), so that they are spelled as in a tokenizer.json.
std::vector<ScoredToken> read_ranks(std::string_view text, const std::string& where) {
  std::vector<Rank> ranks;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.empty()) continue;
    auto rank = read_line(line);
    if (!rank)
      throw Error(where, fmt::format("line {} is \"{:.60}\"", number, line),
                  "a token in base64, a space and its rank",
                  "the file is damaged or another one: fetch it again");
    ranks.push_back(std::move(*rank));
  }
  std::vector<ScoredToken> tokens(ranks.size());
  for (const Rank& rank : ranks) {
    if (rank.rank >= tokens.size() || !tokens[rank.rank].text.empty())
      throw Error(
          where,
          fmt::format("the rank {} {}, of {} tokens", rank.rank,
                      rank.rank >= tokens.size() ? "is too high" : "stands twice", tokens.size()),
          "the ranks 0, 1, 2 ... once each", "fetch the file again");
    tokens[rank.rank] = {in_byte_characters(rank.bytes), -static_cast<double>(rank.rank)};
  }
  return tokens;
}

}  // namespace

bool is_tiktoken(std::string_view beginning) {
  const std::size_t end = beginning.find('\n');
  return end != std::string_view::npos && read_line(beginning.substr(0, end)).has_value();
}

TokenizerParts read_tokenizer_tiktoken(const std::filesystem::path& path) {
  const std::string where = path.string();
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  std::vector<ScoredToken> tokens = read_ranks(text, where);

  TokenizerParts parts;
  const PreTokenizerFamily& family = *find_pre_tokenizer_family("llama-bpe");
  parts.pre_tokenizer = make_pre_tokenizer(nlohmann::json::parse(family.pre_tokenizer), where);
  parts.decoder = make_byte_level_decoder();
  const auto first = static_cast<TokenId>(tokens.size());
  constexpr int kNamed = std::size(kNamedTokens);
  for (int i = 0; i < kSpecialTokens; ++i) {
    // Two reserved tokens stand among the named ones.
    parts.added_tokens.push_back(
        {.content = i < kNamed ? std::string(kNamedTokens[i])
                               : fmt::format("<|reserved_special_token_{}|>", i - kNamed + 2),
         .id = first + i,
         .special = true});
  }
  parts.bos = first;
  parts.eos = first + 1;

  ScoredBpeOptions options{.whole_words = true};
  options.bytes.emplace();
  TextMap<TokenId> ids;
  for (std::size_t id = 0; id < tokens.size(); ++id)
    ids.emplace(tokens[id].text, static_cast<TokenId>(id));
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const auto found = ids.find(byte_characters()[byte]);
    if (found == ids.end())
      throw Error(where, fmt::format("no token for the byte {}", byte), "a token for each byte",
                  "the file is cut off or another one: fetch it again");
    (*options.bytes)[byte] = found->second;
  }
  parts.model = std::make_unique<ScoredBpe>(std::move(tokens), std::move(options), where);

  const TokenizerConfig config =
      read_tokenizer_config(path.parent_path()).value_or(TokenizerConfig{});
  add_configured_tokens(config, path.parent_path(), parts);
  apply_tokenizer_config(config, /*adds_bos=*/true, parts);
  Sha256 digest;
  digest.update(sha256(text) + special_tokens_text(parts));
  for (const AddedToken& token : parts.added_tokens)
    digest.update(fmt::format("\n{} {} {} {} {}", token.id, token.single_word, token.lstrip,
                              token.rstrip, token.content));
  parts.digest = digest.hex();
  return parts;
}

}  // namespace harness
