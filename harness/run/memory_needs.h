#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

#include "harness/model/weight_memory.h"

// How much memory a run takes, from the model's shape: what the code holds at once, tensor by
// tensor, without the program itself (about 0.3 GB with LibTorch), mapped checkpoint files (which
// the system takes back when it needs to) and the allocators' slack. b: bytes of a value of the
// dtype, d: hidden_size, f: intermediate_size, q and k: features of the query and of the key heads.
// All on the CPU.

namespace harness {

/// One pass over so many tokens, without the weights: b * tokens * the larger of
/// 2 d + 5 q + 2 k (attention: x and its norm, Q, K, V, K and V for each query head, the
/// result and its copy for o; where causal_attention() takes it 2 d + 2 q + 2 k, and K and V once
/// more in its attention_panels(), and no copy) and 3 d + 2 f (MLP: x, its norm, gate, up, down).
std::int64_t pass_bytes(const LlamaConfig& config, std::int64_t tokens, c10::ScalarType dtype);

/// Perplexity in windows of so many tokens, one at a time: weights and their packed copies, a pass,
/// and logits in chunks of 64 MB at most with what is made of them.
std::int64_t perplexity_bytes(const LlamaConfig& config, std::int64_t window,
                              c10::ScalarType dtype);

/// Generation of one sequence to so many tokens in all: weights and their packed copies, K and V of
/// all layers (twice while they grow by doubling, of one layer), and a pass over the tokens.
std::int64_t generation_bytes(const LlamaConfig& config, std::int64_t tokens,
                              c10::ScalarType dtype);

/// GPTQ on so many sequences: weights; the calibration's inputs of a block, b * d a token; a pass
/// over 4096 tokens; and for the widest Linear, n inputs to m outputs, in float32 (float64 where
/// the model is): 4 n^2 (Hessian, damped, inverse, factor), 5 n m (weight, rest, codes, values,
/// error) and 4096 n (the inputs that a Hessian is summed over).
std::int64_t gptq_bytes(const LlamaConfig& config, std::int64_t sequences, std::int64_t length,
                        c10::ScalarType dtype);

}  // namespace harness
