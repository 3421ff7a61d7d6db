#include "harness/run/memory_needs.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "harness/kernels/attention.h"
#include "harness/model/llama.h"

namespace harness {
namespace {

constexpr std::int64_t kGptqPassTokens = 4096;

std::int64_t bytes_of(c10::ScalarType dtype) {
  return static_cast<std::int64_t>(c10::elementSize(dtype));
}

std::int64_t eval_weight_bytes(const LlamaConfig& config, c10::ScalarType dtype) {
  return weight_bytes(config, dtype) + packed_bytes(config, dtype, c10::kCPU);
}

}  // namespace

std::int64_t pass_bytes(const LlamaConfig& config, std::int64_t tokens, c10::ScalarType dtype) {
  const std::int64_t d = config.hidden_size, f = config.intermediate_size;
  const std::int64_t q = config.num_attention_heads * config.head_dim;
  const std::int64_t k = config.num_key_value_heads * config.head_dim;
  const std::int64_t b = bytes_of(dtype);
  const auto panels = attention_panels(dtype);
  const std::int64_t attention =
      panels ? b * (2 * q + 2 * k) + bytes_of(*panels) * 2 * k : b * (5 * q + 2 * k);
  return tokens * std::max(b * 2 * d + attention, b * (3 * d + 2 * f));
}

std::int64_t perplexity_bytes(const LlamaConfig& config, std::int64_t window,
                              c10::ScalarType dtype) {
  const std::int64_t tokens = std::min(window, nll_chunk_tokens(config.vocab_size, dtype));
  const std::int64_t logits = tokens * config.vocab_size * bytes_of(dtype);
  const std::int64_t states = window * config.hidden_size * bytes_of(dtype);
  return eval_weight_bytes(config, dtype) +
         std::max(pass_bytes(config, window, dtype), states + logits);
}

std::int64_t generation_bytes(const LlamaConfig& config, std::int64_t tokens,
                              c10::ScalarType dtype) {
  const std::int64_t layer =
      2 * config.num_key_value_heads * config.head_dim * tokens * bytes_of(dtype);
  return eval_weight_bytes(config, dtype) + (config.num_hidden_layers + 1) * layer +
         pass_bytes(config, tokens, dtype);
}

std::int64_t gptq_bytes(const LlamaConfig& config, std::int64_t sequences, std::int64_t length,
                        c10::ScalarType dtype) {
  const std::int64_t d = config.hidden_size, f = config.intermediate_size;
  const std::int64_t q = config.num_attention_heads * config.head_dim;
  const std::int64_t compute = dtype == c10::ScalarType::Double ? 8 : 4;
  std::int64_t widest = 0;
  for (const auto& [n, m] : {std::pair(d, std::max(q, f)), std::pair(q, d), std::pair(f, d)})
    widest = std::max(widest, compute * (4 * n * n + 5 * n * m + kGptqPassTokens * n));
  return weight_bytes(config, dtype) + sequences * length * d * bytes_of(dtype) +
         pass_bytes(config, std::max(length, kGptqPassTokens), dtype) + widest;
}

}  // namespace harness
