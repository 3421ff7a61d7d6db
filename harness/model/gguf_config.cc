#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>

#include "harness/core/error.h"
#include "harness/model/gguf_checkpoint.h"
#include "harness/model/rope.h"

namespace harness {
namespace {

/// The number that was written as a float32, as its shortest decimal: 1e-05,
/// not 9.999999747378752e-06.
double as_written(double value) {
  return std::strtod(fmt::format("{}", static_cast<float>(value)).c_str(), nullptr);
}

/// A key that is an integer, or null; files of other converters have a list with a value a layer.
const std::int64_t* find_size(const GgufFile& file, const std::string& key) {
  auto found = file.metadata.find(key);
  if (found != file.metadata.end() &&
      std::holds_alternative<std::vector<std::int64_t>>(found->second))
    throw Error(file.file->path().string(), fmt::format("{} is a list", key),
                "one integer: all layers of a LLaMA have the same shape");
  return file.find<std::int64_t>(key);
}

/// Factors by which a scaling divides the frequencies of RoPE, one a pair of dimensions.
at::Tensor rope_divisors(LlamaConfig config, const RopeScaling& scaling) {
  config.rope_scaling = {};
  at::Tensor plain = rope_frequencies(config, at::kDouble);
  config.rope_scaling = scaling;
  return plain / rope_frequencies(config, at::kDouble);
}

/// llama.cpp's converter stores the llama3 scaling only as these divisors. All public checkpoints
/// have low_freq_factor 1, high_freq_factor 4 and original context 8192; the largest divisor is the
/// factor. If these give the stored divisors, they are right whatever the original file said.
RopeScaling scaling_of(const GgufFile& file, const GgufTensor& divisors,
                       const LlamaConfig& config) {
  std::string where = file.file->path().string();
  auto count = static_cast<std::size_t>(config.head_dim / 2);
  if (std::strcmp(divisors.type->name, "F32") != 0 || divisors.bytes != count * sizeof(float))
    throw Error(where,
                fmt::format("rope_freqs.weight is {} [{}]", divisors.type->name,
                            fmt::join(divisors.shape, ", ")),
                fmt::format("F32 [{}], half of head_dim", count));
  std::vector<float> stored(count);
  std::memcpy(stored.data(), file.data(divisors), divisors.bytes);
  RopeScaling scaling;
  scaling.type = "llama3";
  scaling.factor = as_written(*std::max_element(stored.begin(), stored.end()));
  at::Tensor divisors_of_scaling = rope_divisors(config, scaling);
  const double* computed = divisors_of_scaling.const_data_ptr<double>();
  for (std::size_t i = 0; i < count; ++i) {
    if (!(std::abs(stored[i] - computed[i]) <= 1e-3 * computed[i]))
      throw Error(
          where,
          fmt::format("rope_freqs.weight[{}] is {}, where the llama3 scaling with factor {}, "
                      "low_freq_factor 1, high_freq_factor 4 and original context 8192 has {}",
                      i, stored[i], scaling.factor, computed[i]),
          "the scaling of Llama 3.1, 3.2 or 3.3",
          "use the safetensors checkpoint that the file was made from");
  }
  return scaling;
}

RopeScaling rope_scaling(const GgufFile& file, const std::string& prefix,
                         const LlamaConfig& config) {
  RopeScaling scaling;
  const std::string where = file.file->path().string(), key = prefix + "rope.scaling.";
  if (const auto* type = file.find<std::string>(key + "type"); type && *type != "none") {
    if (*type != "linear" && *type != "yarn")
      throw Error(where, fmt::format("{}type is \"{}\"", key, *type), "none, linear or yarn",
                  "use a checkpoint with a rope type that is supported");
    scaling.type = *type;
    scaling.factor = as_written(file.get<double>(key + "factor"));
    if (*type == "yarn")
      scaling.original_max_position_embeddings =
          file.get<std::int64_t>(key + "original_context_length");
  }
  const GgufTensor* divisors = file.find_tensor("rope_freqs.weight");
  if (!divisors) return scaling;
  if (scaling.type != "default")
    throw Error(where,
                fmt::format("has {} rope scaling and a rope_freqs.weight tensor", scaling.type),
                "one of the two");
  return scaling_of(file, *divisors, config);
}

/// The architectures as GGUF names them. Mistral's converter writes "llama", without the window.
const std::map<std::string, std::string> kGgufArchitectures = {
    {"llama", "LlamaForCausalLM"}, {"qwen2", "Qwen2ForCausalLM"}, {"qwen3", "Qwen3ForCausalLM"}};

}  // namespace

LlamaConfig gguf_config(const GgufFile& file) {
  std::string where = file.file->path().string();
  const auto& architecture = file.get<std::string>("general.architecture");
  const auto known = kGgufArchitectures.find(architecture);
  if (known == kGgufArchitectures.end()) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : kGgufArchitectures) names.push_back(name);
    throw Error(where,
                fmt::format("general.architecture is \"{}\", which is not supported", architecture),
                fmt::format("one of {}", fmt::join(names, ", ")));
  }
  const std::string prefix = architecture + ".";
  auto size = [&](const char* key) {
    const std::int64_t* found = find_size(file, prefix + key);
    return found ? *found : file.get<std::int64_t>(prefix + key);
  };
  auto size_or = [&](const char* key, std::int64_t fallback) {
    const std::int64_t* found = find_size(file, prefix + key);
    return found ? *found : fallback;
  };
  if (std::int64_t experts = size_or("expert_count", 0); experts > 0)
    throw Error(where, fmt::format("is a mixture of {} experts", experts), "a dense model");

  LlamaConfig config;
  config.architecture = known->second;
  config.hidden_size = size("embedding_length");
  config.intermediate_size = size("feed_forward_length");
  config.num_hidden_layers = size("block_count");
  config.num_attention_heads = size("attention.head_count");
  config.num_key_value_heads = size_or("attention.head_count_kv", config.num_attention_heads);
  config.max_position_embeddings = size("context_length");
  if (config.num_attention_heads > 0)
    config.head_dim =
        size_or("attention.key_length", config.hidden_size / config.num_attention_heads);
  for (const char* key : {"attention.value_length", "rope.dimension_count"}) {
    if (std::int64_t found = size_or(key, config.head_dim); found != config.head_dim)
      throw Error(where, fmt::format("{}{} is {}", prefix, key, found),
                  fmt::format("{}, the size of a head", config.head_dim));
  }
  config.rms_norm_eps = as_written(file.get<double>(prefix + "attention.layer_norm_rms_epsilon"));
  if (const double* theta = file.find<double>(prefix + "rope.freq_base"))
    config.rope_theta = as_written(*theta);
  const GgufTensor* embedding = file.find_tensor("token_embd.weight");
  if (!embedding)
    throw Error(where, "has no tensor token_embd.weight", "the embedding of a language model",
                "take a GGUF file with the whole model");
  config.vocab_size = embedding->shape.front();
  config.tie_word_embeddings = !file.find_tensor("output.weight");
  config.qkv_bias = file.find_tensor("blk.0.attn_q.bias") != nullptr;
  config.o_bias = file.find_tensor("blk.0.attn_output.bias") != nullptr;
  config.mlp_bias = file.find_tensor("blk.0.ffn_gate.bias") != nullptr;
  config.qk_norm = file.find_tensor("blk.0.attn_q_norm.weight") != nullptr;
  if (const auto* bos = file.find<std::int64_t>("tokenizer.ggml.bos_token_id"))
    config.bos_token_id = *bos;
  if (const auto* eos = file.find<std::int64_t>("tokenizer.ggml.eos_token_id"))
    config.eos_token_ids = {*eos};
  if (std::int64_t window = size_or("attention.sliding_window", 0); window > 0) {
    if (architecture != "llama")
      throw Error(where, fmt::format("{}attention.sliding_window is {}", prefix, window),
                  "no window: the format does not say which layers have it",
                  "use the safetensors checkpoint that the file was made from");
    config.architecture = "MistralForCausalLM";
    config.sliding_window = window;
    config.layer_slides.assign(
        static_cast<std::size_t>(std::clamp<std::int64_t>(config.num_hidden_layers, 0, 1 << 14)),
        true);
  }
  check_config(config, where);
  config.rope_scaling = rope_scaling(file, prefix, config);
  check_config(config, where);
  return config;
}

}  // namespace harness
