#pragma once

#include <memory>

#include "harness/model/llama.h"
#include "harness/model/model.h"

namespace harness {

/// A LlamaModel and its tokenizer as evals see them. Nothing is recorded for gradients; tokens may
/// be on any device, results are on the CPU.
class LlamaTextModel : public Model {
 public:
  LlamaTextModel(std::unique_ptr<LlamaModel> llama, std::shared_ptr<const Tokenizer> tokenizer);

  const Tokenizer& tokenizer() const override { return *tokenizer_; }
  std::int64_t vocabulary_size() const override { return llama_->config().vocab_size; }
  std::int64_t max_tokens() const override { return llama_->config().max_position_embeddings; }
  at::Tensor logits(const at::Tensor& tokens) const override;
  at::Tensor token_nll(const at::Tensor& tokens) const override;
  at::Tensor next_token_logits(
      const std::vector<std::vector<std::int64_t>>& prompts) const override;

  LlamaModel& llama() { return *llama_; }
  const LlamaModel& llama() const { return *llama_; }

 private:
  std::unique_ptr<LlamaModel> llama_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

}  // namespace harness
