#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "harness/model/config.h"

namespace harness {

/// What stands beside the weights in a checkpoint's folder: texts by file name ("tokenizer.json",
/// "tokenizer_config.json", "chat_template.jinja").
using CheckpointTexts = std::map<std::string, std::string>;

/// The texts of a tokenizer that is written for the first time.
/// @param chat_template Jinja; empty: none
/// @param bos, eos      tokens; none: the tokenizer has no such token
CheckpointTexts tokenizer_texts(const std::string& tokenizer_json, const std::string& chat_template,
                                const std::optional<std::string>& bos,
                                const std::optional<std::string>& eos);

/// The tokenizer's texts of an existing checkpoint (`reference` as open_tokenizer takes it): the
/// files as they are, or what a .gguf file says, written as transformers has it.
CheckpointTexts read_tokenizer_texts(const std::string& reference);

/// config.json of the config's architecture, for transformers 5 and our own reader.
std::string config_json(const LlamaConfig& config);

/// Writes an ordinary Hugging Face folder: config.json, generation_config.json, the texts, and last
/// model.safetensors, without which the folder is no checkpoint; each file is renamed into place.
/// config.dtype becomes that of the tensors.
/// @throws Error when the folder cannot be made or written
void save_checkpoint_folder(const std::filesystem::path& folder, LlamaConfig config,
                            const std::map<std::string, at::Tensor>& tensors,
                            const CheckpointTexts& texts);

}  // namespace harness
