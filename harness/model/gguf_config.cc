#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

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

RopeScaling rope_scaling(const GgufFile& file, const LlamaConfig& config) {
  RopeScaling scaling;
  if (const auto* type = file.find<std::string>("llama.rope.scaling.type");
      type && *type != "none") {
    if (*type != "linear")
      throw Error(file.file->path().string(),
                  fmt::format("llama.rope.scaling.type is \"{}\"", *type), "none or linear",
                  "use a checkpoint with a rope type that is supported");
    scaling.type = "linear";
    scaling.factor = as_written(file.get<double>("llama.rope.scaling.factor"));
  }
  const GgufTensor* divisors = file.find_tensor("rope_freqs.weight");
  if (!divisors) return scaling;
  if (scaling.type != "default")
    throw Error(file.file->path().string(),
                "has linear rope scaling and a rope_freqs.weight tensor", "one of the two");
  return scaling_of(file, *divisors, config);
}

}  // namespace

LlamaConfig gguf_config(const GgufFile& file) {
  std::string where = file.file->path().string();
  if (const auto& architecture = file.get<std::string>("general.architecture");
      architecture != "llama")
    throw Error(where,
                fmt::format("general.architecture is \"{}\", which is not supported", architecture),
                "llama");
  auto size = [&](const char* key) {
    const std::int64_t* found = find_size(file, key);
    return found ? *found : file.get<std::int64_t>(key);
  };
  auto size_or = [&](const char* key, std::int64_t fallback) {
    const std::int64_t* found = find_size(file, key);
    return found ? *found : fallback;
  };
  if (std::int64_t experts = size_or("llama.expert_count", 0); experts > 0)
    throw Error(where, fmt::format("is a mixture of {} experts", experts), "a dense LLaMA");

  LlamaConfig config;
  config.hidden_size = size("llama.embedding_length");
  config.intermediate_size = size("llama.feed_forward_length");
  config.num_hidden_layers = size("llama.block_count");
  config.num_attention_heads = size("llama.attention.head_count");
  config.num_key_value_heads = size_or("llama.attention.head_count_kv", config.num_attention_heads);
  config.max_position_embeddings = size("llama.context_length");
  if (config.num_attention_heads > 0)
    config.head_dim =
        size_or("llama.attention.key_length", config.hidden_size / config.num_attention_heads);
  for (const char* key : {"llama.attention.value_length", "llama.rope.dimension_count"}) {
    if (std::int64_t found = size_or(key, config.head_dim); found != config.head_dim)
      throw Error(where, fmt::format("{} is {}", key, found),
                  fmt::format("{}, the size of a head", config.head_dim));
  }
  config.rms_norm_eps = as_written(file.get<double>("llama.attention.layer_norm_rms_epsilon"));
  if (const double* theta = file.find<double>("llama.rope.freq_base"))
    config.rope_theta = as_written(*theta);
  const GgufTensor* embedding = file.find_tensor("token_embd.weight");
  if (!embedding)
    throw Error(where, "has no tensor token_embd.weight", "the embedding of a language model",
                "take a GGUF file with the whole model");
  config.vocab_size = embedding->shape.front();
  config.tie_word_embeddings = !file.find_tensor("output.weight");
  config.attention_bias = file.find_tensor("blk.0.attn_q.bias") != nullptr;
  config.mlp_bias = file.find_tensor("blk.0.ffn_gate.bias") != nullptr;
  if (const auto* bos = file.find<std::int64_t>("tokenizer.ggml.bos_token_id"))
    config.bos_token_id = *bos;
  if (const auto* eos = file.find<std::int64_t>("tokenizer.ggml.eos_token_id"))
    config.eos_token_ids = {*eos};
  check_config(config, where);
  config.rope_scaling = rope_scaling(file, config);
  check_config(config, where);
  return config;
}

}  // namespace harness
