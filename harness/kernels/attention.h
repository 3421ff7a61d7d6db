#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <optional>

namespace harness {

/// What causal_attention() lays K and V out in, and multiplies in, where this processor makes it
/// faster than at::scaled_dot_product_attention on tensors of `dtype`: bfloat16 for itself where
/// AVX-512 or AMX has products of it, else float32 with AVX-512 for itself, bfloat16 and float16.
std::optional<at::ScalarType> attention_panels(at::ScalarType dtype);

/// Whether causal_attention() takes these: where there are attention_panels() for them, on the CPU,
/// and no gradient is recorded.
bool can_attend(const at::Tensor& q, const at::Tensor& k);

/// softmax(q k^T / sqrt(e)) v, where token t sees tokens t - window + 1 to t, without a window all
/// up to itself. Each group of heads / kv_heads query heads that follow each other shares a head of
/// k and v. The result of a token depends on nothing but what it sees, to the bit.
/// @param q    [batch, heads, tokens, e]
/// @param k, v [batch, kv_heads, tokens, e]
/// @return [batch, heads, tokens, e], in memory token by token
at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            std::optional<std::int64_t> window);

}  // namespace harness
