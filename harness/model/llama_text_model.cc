#include "harness/model/llama_text_model.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

namespace harness {

LlamaTextModel::LlamaTextModel(std::unique_ptr<LlamaModel> llama,
                               std::shared_ptr<const Tokenizer> tokenizer)
    : llama_(std::move(llama)), tokenizer_(std::move(tokenizer)) {}

at::Tensor LlamaTextModel::logits(const at::Tensor& tokens) const {
  const c10::InferenceMode no_gradients;
  return llama_->logits(tokens).cpu();
}

at::Tensor LlamaTextModel::token_nll(const at::Tensor& tokens) const {
  const c10::InferenceMode no_gradients;
  return llama_->token_nll(tokens).cpu();
}

}  // namespace harness
