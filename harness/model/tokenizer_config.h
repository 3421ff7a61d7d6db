#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "harness/model/pipeline_tokenizer.h"

namespace harness {

/// tokenizer_config.json, which transformers writes beside a tokenizer.
struct TokenizerConfig {
  nlohmann::json json = nlohmann::json::object();
  std::string where = "tokenizer_config.json";
};

/// Nothing where the folder has none.
std::optional<TokenizerConfig> read_tokenizer_config(const std::filesystem::path& folder);

/// Takes from it which tokens are BOS and EOS, and whether they are added. Where it says that
/// (add_bos_token, add_eos_token), it replaces the post-processor, as in transformers 5.
/// @param adds_bos what a missing add_bos_token means; none: with add_eos_token missing too the
///                 parts stay as they are
void apply_tokenizer_config(const TokenizerConfig& config, std::optional<bool> adds_bos,
                            TokenizerParts& parts);

/// Adds the tokens that a tokenizer.model lacks and transformers was told of: added_tokens_decoder
/// of tokenizer_config.json, and added_tokens.json of older checkpoints.
/// @throws Error where an id is another token's: the files belong to different tokenizers
void add_configured_tokens(const TokenizerConfig& config, const std::filesystem::path& folder,
                           TokenizerParts& parts);

/// What of these files can change ids, for the digest.
std::string special_tokens_text(const TokenizerParts& parts);

}  // namespace harness
