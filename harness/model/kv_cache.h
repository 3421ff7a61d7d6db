#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "harness/model/llama.h"

namespace harness {

/// K and V of sequences that grow, as they are after their sites: quantized as the run says. The
/// quantizers look at one token at a time, so that these are the values of a pass over the whole
/// sequence. Rows may have different lengths: behind a row's length stands what nothing looks at.
///
/// A pass over new tokens is begin(), append() of each block's K and V, advance().
class KvCache {
 public:
  KvCache(const LlamaModel& model, std::int64_t rows);

  std::int64_t rows() const { return static_cast<std::int64_t>(lengths_.size()); }
  /// Tokens held of each row.
  const std::vector<std::int64_t>& lengths() const { return lengths_; }
  /// Keeps these rows, in this order; a row may stand there several times.
  void select(const std::vector<std::int64_t>& rows);

  /// Where a pass's tokens stand.
  struct Pass {
    bool first;  // the rows were empty: what is in the cache does not matter
    Rope rope;   // of the tokens [tokens]; later passes: of all rows' tokens [rows * tokens]
    at::Tensor positions;  // later passes: int64 [rows, tokens]
    at::Tensor seen;    // later passes: bool [rows, 1, group * tokens, span], the keys a query sees
    std::int64_t span;  // keys that some query sees
  };
  /// The next pass brings so many tokens to each row. Where a row has fewer, others stand behind
  /// its own.
  Pass begin(std::int64_t tokens);
  /// Adds K and V [rows, kv_heads, tokens, head_dim] of a block.
  /// @return the block's K and V [rows, kv_heads, span, head_dim]
  std::pair<at::Tensor, at::Tensor> append(const Pass& pass, std::size_t block, const at::Tensor& k,
                                           const at::Tensor& v);
  /// How many of the pass's tokens were each row's own.
  void advance(const std::vector<std::int64_t>& tokens);

 private:
  void reserve(std::int64_t positions);

  const LlamaModel& model_;
  std::vector<std::int64_t> lengths_;
  std::int64_t capacity_ = 0;  // positions there is memory for
  Rope rope_;                  // of these positions
  std::vector<std::pair<at::Tensor, at::Tensor>>
      blocks_;  // K, V [rows, kv_heads, capacity, head_dim]
};

}  // namespace harness
