#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace harness {

/// RoPE's frequencies, as config.json's rope_scaling (transformers 4) or rope_parameters (5) has
/// them.
struct RopeScaling {
  std::string type = "default";   // default | linear | llama3 | yarn (others are errors for now)
  double factor = 1.0;            // linear, llama3, yarn
  double low_freq_factor = 1.0;   // llama3
  double high_freq_factor = 4.0;  // llama3
  std::int64_t original_max_position_embeddings = 8192;  // llama3, yarn
  double beta_fast = 32.0;                               // yarn
  double beta_slow = 1.0;                                // yarn
  std::optional<double> attention_factor;  // yarn; none: 0.1 ln(factor) + 1, as the paper says
  bool truncate = true;                    // yarn: whole dimensions bound the ramp
};

/// Shape and constants of a model of the LLaMA family (Llama, Mistral, Qwen 2 and 3); names as in
/// config.json.
struct LlamaConfig {
  /// LlamaForCausalLM | MistralForCausalLM | Qwen2ForCausalLM | Qwen3ForCausalLM
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
  bool qkv_bias = false;  // attention_bias of Llama and Qwen 3 is both this and o_bias
  bool o_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;  // RMSNorm over each head of Q and K before RoPE, as Qwen 3 has it
  /// A token sees itself and the sliding_window - 1 tokens before it, in the layers that slide.
  std::optional<std::int64_t> sliding_window;
  std::vector<bool> layer_slides;  // one a layer; empty where there is no window
  std::string dtype = "float32";   // as stored: float32 | float16 | bfloat16 | float64
  std::optional<std::int64_t> bos_token_id;
  std::vector<std::int64_t> eos_token_ids;

  /// The window of a layer's attention, in tokens; none: it sees the whole context.
  std::optional<std::int64_t> window(std::int64_t layer) const {
    const auto index = static_cast<std::size_t>(layer);
    return index < layer_slides.size() && layer_slides[index] ? sliding_window : std::nullopt;
  }
};

/// Reads config.json's text. Both spellings (rope_theta, rope_scaling, torch_dtype;
/// rope_parameters, dtype). Sizes of the network and the vocabulary must stand there; the rest has
/// the defaults of transformers' config of that family (num_key_value_heads, head_dim,
/// rms_norm_eps, rope_theta, max_position_embeddings, BOS, EOS, sliding window and its layers).
/// @param where the file's name, for messages
/// @throws Error: unknown architecture, activation or rope type, missing or contradictory sizes
LlamaConfig parse_config_json(const std::string& text, const std::string& where);

/// transformers' model_type of an architecture that is supported: "llama", "qwen2" ...
std::string model_type_of(const std::string& architecture);

/// What must hold in a config whatever format it came from: positive sizes, heads that divide, an
/// even head_dim, finite constants, and nothing that its architecture does not have.
/// @throws Error that lists every contradiction
void check_config(const LlamaConfig& config, const std::string& where);

}  // namespace harness
