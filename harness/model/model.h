#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "harness/model/tokenizer.h"

namespace harness {

/// What an eval sees: text in, likelihoods out. It cannot tell whether the model is quantized.
class Model {
 public:
  virtual ~Model() = default;
  virtual const Tokenizer& tokenizer() const = 0;
  virtual std::int64_t vocabulary_size() const = 0;
  /// Positions the model was made for.
  virtual std::int64_t max_tokens() const = 0;
  /// int64 [batch, tokens] -> [batch, tokens, vocabulary].
  virtual at::Tensor logits(const at::Tensor& tokens) const = 0;
  /// int64 [batch, tokens] -> float32 [batch, tokens - 1]: -log p of token t + 1 given tokens 0..t.
  virtual at::Tensor token_nll(const at::Tensor& tokens) const = 0;
};

}  // namespace harness
