#include "harness/model/llama_text_model.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>

#include "harness/core/error.h"
#include "harness/core/log.h"

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

at::Tensor LlamaTextModel::next_token_logits(
    const std::vector<std::vector<std::int64_t>>& prompts) const {
  const c10::InferenceMode no_gradients;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const auto tokens = static_cast<std::int64_t>(prompts[i].size());
    if (tokens == 0 || tokens > max_tokens())
      throw Error(fmt::format("prompt {} of {}", i + 1, prompts.size()),
                  fmt::format("{} tokens", tokens),
                  fmt::format("1 to the model's {} positions", max_tokens()),
                  "use another prompt, or a model with more positions");
  }
  at::Tensor result =
      at::empty({static_cast<std::int64_t>(prompts.size()), vocabulary_size()}, at::kFloat);
  for (const std::vector<std::size_t>& batch : equal_length_batches(prompts)) {
    check_interrupted();
    const auto rows = static_cast<std::int64_t>(batch.size());
    const auto length = static_cast<std::int64_t>(prompts[batch.front()].size());
    at::Tensor tokens = at::empty({rows, length}, at::kLong);
    at::Tensor places = at::empty({rows}, at::kLong);
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::size_t prompt = batch[static_cast<std::size_t>(row)];
      places.data_ptr<std::int64_t>()[row] = static_cast<std::int64_t>(prompt);
      std::copy(prompts[prompt].begin(), prompts[prompt].end(),
                tokens.data_ptr<std::int64_t>() + row * length);
    }
    const at::Tensor last = llama_->hidden(tokens).select(1, length - 1);
    result.index_copy_(0, places, llama_->lm_head().apply(last).to(at::kCPU, at::kFloat));
  }
  return result;
}

}  // namespace harness
