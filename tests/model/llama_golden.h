#pragma once

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/model/checkpoint.h"
#include "harness/model/llama.h"
#include "tests/support/support.h"

// The golden files of tests/golden/llama (its generate.py says what they hold).

namespace harness::test {

inline nlohmann::json llama_json(const std::string& name) {
  return nlohmann::json::parse(read_file(golden("llama/" + name)));
}

/// int64 [1, tokens].
inline at::Tensor token_row(const nlohmann::json& ids) {
  return at::tensor(ids.get<std::vector<std::int64_t>>()).unsqueeze(0);
}

inline at::Tensor golden_tokens(const std::string& name) {
  return token_row(llama_json(name + "/tokens.json"));
}

/// A file of little-endian float32 [rows, any].
inline at::Tensor golden_floats(const std::string& name, std::int64_t rows) {
  std::string bytes = read_file(golden("llama/" + name));
  const auto count = static_cast<std::int64_t>(bytes.size() / sizeof(float));
  return at::from_blob(bytes.data(), {rows, count / rows}, at::kFloat).clone();
}

inline at::Tensor golden_logits(const std::string& name) {
  return golden_floats(name + "/logits.bin", golden_tokens(name).size(1)).unsqueeze(0);
}

/// A golden case's checkpoint under a config that may say something else.
class ChangedCheckpoint : public Checkpoint {
 public:
  explicit ChangedCheckpoint(const std::string& name)
      : ChangedCheckpoint(open_checkpoint(golden("llama/" + name).string())) {}
  explicit ChangedCheckpoint(std::unique_ptr<Checkpoint> inner)
      : inner_(std::move(inner)), config_(inner_->config()) {}
  LlamaConfig& changed() { return config_; }
  const LlamaConfig& config() const override { return config_; }
  bool contains(const std::string& name) const override { return inner_->contains(name); }
  std::vector<std::string> names() const override { return inner_->names(); }
  std::vector<std::int64_t> shape(const std::string& name) const override {
    return inner_->shape(name);
  }
  at::Tensor load(const std::string& name) const override { return inner_->load(name); }
  std::string digest() const override { return inner_->digest(); }
  std::string scheme() const override { return inner_->scheme(); }

 private:
  std::unique_ptr<Checkpoint> inner_;
  LlamaConfig config_;
};

inline std::unique_ptr<LlamaModel> golden_model(const std::string& name,
                                                at::ScalarType dtype = at::kFloat) {
  return LlamaModel::load(ChangedCheckpoint(name), dtype, at::kCPU);
}

inline double max_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

}  // namespace harness::test
