#pragma once

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/model/checkpoint.h"
#include "harness/model/llama.h"

namespace harness::test {

/// A tiny LLaMA of random weights: 2 layers, hidden 32, 4 heads over 2 kv heads of 16, MLP 48,
/// vocabulary 40.
inline LlamaConfig tiny_config() {
  LlamaConfig config;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 16;
  config.vocab_size = 40;
  config.max_position_embeddings = 64;
  return config;
}

/// A checkpoint that lives in memory only.
class MemoryCheckpoint : public Checkpoint {
 public:
  explicit MemoryCheckpoint(const LlamaConfig& config) : config_(config) {
    const at::Generator generator = at::detail::createCPUGenerator(1);
    for (const auto& [name, shape] : expected_tensors(config)) {
      const bool is_norm = shape.size() == 1;
      const double scale = is_norm ? 0.1 : 1.5 / std::sqrt(static_cast<double>(shape.back()));
      tensors_[name] = at::randn(shape, generator, at::kFloat) * scale + (is_norm ? 1.0 : 0.0);
    }
  }
  const LlamaConfig& config() const override { return config_; }
  bool contains(const std::string& name) const override { return tensors_.count(name) > 0; }
  std::vector<std::string> names() const override {
    std::vector<std::string> result;
    for (const auto& [name, tensor] : tensors_) result.push_back(name);
    return result;
  }
  std::vector<std::int64_t> shape(const std::string& name) const override {
    return tensors_.at(name).sizes().vec();
  }
  at::Tensor load(const std::string& name) const override { return tensors_.at(name); }
  std::string digest() const override { return "random"; }
  std::string scheme() const override { return "random float32"; }

 private:
  LlamaConfig config_;
  std::map<std::string, at::Tensor> tensors_;
};

inline std::unique_ptr<LlamaModel> tiny_model(at::ScalarType dtype = at::kFloat,
                                              const LlamaConfig& config = tiny_config()) {
  return LlamaModel::load(MemoryCheckpoint(config), dtype, at::kCPU);
}

inline at::Tensor tiny_tokens() {
  return at::randint(40, {2, 12}, at::detail::createCPUGenerator(2), at::kLong);
}

}  // namespace harness::test
