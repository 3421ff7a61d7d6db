#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace harness {

/// RoPE's frequencies, as config.json's rope_scaling (transformers 4) or rope_parameters (5) has
/// them.
struct RopeScaling {
  std::string type = "default";   // default | linear | llama3 (others are errors for now)
  double factor = 1.0;            // linear, llama3
  double low_freq_factor = 1.0;   // llama3
  double high_freq_factor = 4.0;  // llama3
  std::int64_t original_max_position_embeddings = 8192;  // llama3
};

/// Shape and constants of a LLaMA-family model; names as in config.json.
struct LlamaConfig {
  std::string architecture = "LlamaForCausalLM";
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_hidden_layers = 0;
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t vocab_size = 0;
  std::int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  bool tie_word_embeddings = false;
  bool attention_bias = false;
  bool mlp_bias = false;
  std::string dtype = "float32";  // as stored: float32 | float16 | bfloat16 | float64
  std::optional<std::int64_t> bos_token_id;
  std::vector<std::int64_t> eos_token_ids;
};

/// Reads config.json's text. Both spellings (rope_theta, rope_scaling, torch_dtype;
/// rope_parameters, dtype). Sizes of the network and the vocabulary must stand there; the rest has
/// the defaults of transformers' LlamaConfig (num_key_value_heads = num_attention_heads, head_dim =
/// hidden_size / num_attention_heads, rms_norm_eps 1e-6, rope_theta 10000, max_position_embeddings
/// 2048, BOS 1, EOS 2).
/// @param where the file's name, for messages
/// @throws Error: unknown architecture, activation or rope type, missing or contradictory sizes
LlamaConfig parse_config_json(const std::string& text, const std::string& where);

/// What must hold in a config whatever format it came from: positive sizes, heads that divide, an
/// even head_dim, finite constants.
/// @throws Error that lists every contradiction
void check_config(const LlamaConfig& config, const std::string& where);

}  // namespace harness
