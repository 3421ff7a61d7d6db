#include "harness/model/weight_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/core/error.h"
#include "harness/kernels/packed_linear.h"
#include "harness/model/checkpoint.h"

namespace harness {
namespace {

/// Values of the tensors whose names begin so.
std::int64_t count(const LlamaConfig& config, const std::string& prefix) {
  std::int64_t sum = 0;
  for (const auto& [name, shape] : expected_tensors(config)) {
    if (!name.starts_with(prefix)) continue;
    std::int64_t values = 1;
    for (const std::int64_t size : shape) values *= size;
    sum += values;
  }
  return sum;
}

std::int64_t bytes_of(c10::ScalarType dtype) {
  return static_cast<std::int64_t>(c10::elementSize(dtype));
}

std::int64_t head_values(const LlamaConfig& config) {
  return config.vocab_size * config.hidden_size;
}

std::int64_t resident_bytes(const LlamaConfig& config, c10::ScalarType dtype, c10::Device device) {
  return weight_bytes(config, dtype) + packed_bytes(config, dtype, device);
}

}  // namespace

std::int64_t parameter_count(const LlamaConfig& config) { return count(config, ""); }

std::int64_t block_parameter_count(const LlamaConfig& config) {
  return count(config, "model.layers.0.");
}

std::int64_t weight_bytes(const LlamaConfig& config, c10::ScalarType dtype) {
  return parameter_count(config) * bytes_of(dtype);
}

std::int64_t packed_bytes(const LlamaConfig& config, c10::ScalarType dtype, c10::Device device) {
  if (!can_pack(dtype, device)) return 0;
  // Norms and biases count too: less than a thousandth.
  const std::int64_t blocks = config.num_hidden_layers * block_parameter_count(config);
  return (blocks + head_values(config)) * bytes_of(dtype);
}

std::int64_t streamed_weight_bytes(const LlamaConfig& config, c10::ScalarType dtype,
                                   c10::Device device) {
  std::int64_t values =
      parameter_count(config) - (config.num_hidden_layers - 1) * block_parameter_count(config);
  if (can_pack(dtype, device)) {
    const std::int64_t queries = config.num_attention_heads * config.head_dim;
    values +=
        head_values(config) + config.hidden_size * std::max(queries, config.intermediate_size);
  }
  return values * bytes_of(dtype);
}

bool streams_at(const LlamaConfig& config, c10::ScalarType dtype, c10::Device device,
                std::optional<std::int64_t> memory_limit) {
  if (!memory_limit || resident_bytes(config, dtype, device) <= *memory_limit) return false;
  const std::int64_t least = streamed_weight_bytes(config, dtype, device);
  if (*memory_limit < least)
    throw Error("memory_limit", fmt::format("{} bytes", *memory_limit),
                fmt::format("{} bytes or more: embedding, head and one block", least),
                "raise it, or compute in a dtype of fewer bytes");
  return true;
}

bool prefetches_at(const LlamaConfig& config, c10::ScalarType dtype, c10::Device device,
                   std::int64_t memory_limit) {
  return streamed_weight_bytes(config, dtype, device) +
             block_parameter_count(config) * bytes_of(dtype) <=
         memory_limit;
}

void check_room_for_head(const LlamaConfig& config, c10::ScalarType dtype, c10::Device device,
                         std::optional<std::int64_t> memory_limit) {
  if (!memory_limit || !config.tie_word_embeddings) return;
  LlamaConfig untied = config;
  untied.tie_word_embeddings = false;
  const std::int64_t needed = streams_at(config, dtype, device, memory_limit)
                                  ? streamed_weight_bytes(untied, dtype, device)
                                  : resident_bytes(untied, dtype, device);
  if (needed > *memory_limit)
    throw Error("memory_limit", fmt::format("{} bytes", *memory_limit),
                fmt::format("{} bytes or more: a transform gives the tied head a weight of its own",
                            needed),
                "raise it");
}

}  // namespace harness
