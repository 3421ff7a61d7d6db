#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "harness/model/kv_cache.h"
#include "harness/model/llama.h"
#include "harness/model/token_forest.h"

namespace harness {

/// What the tokens of a pass look at.
class Sight {
 public:
  virtual ~Sight() = default;
  /// Whether `rope` has the angles of all rows' tokens [rows * tokens], not those of every row.
  virtual bool own_angles() const { return false; }
  /// A block's attention: q [batch, heads, tokens, e]; k, v [batch, kv_heads, tokens, e] -> q's
  /// shape.
  virtual at::Tensor attend(const LlamaConfig& config, const LlamaBlock& block, const at::Tensor& q,
                            const at::Tensor& k, const at::Tensor& v) const = 0;
};

/// Each row is a sequence from an empty context.
class WholeSequences : public Sight {
 public:
  at::Tensor attend(const LlamaConfig& config, const LlamaBlock& block, const at::Tensor& q,
                    const at::Tensor& k, const at::Tensor& v) const override;
};

/// Each row goes on from what a cache holds of it.
class CachedSight : public Sight {
 public:
  CachedSight(KvCache& cache, const KvCache::Pass& pass, std::size_t block)
      : cache_(cache), pass_(pass), block_(block) {}
  bool own_angles() const override { return !pass_.first; }
  at::Tensor attend(const LlamaConfig& config, const LlamaBlock& block, const at::Tensor& q,
                    const at::Tensor& k, const at::Tensor& v) const override;

 private:
  KvCache& cache_;
  const KvCache::Pass& pass_;
  std::size_t block_;
};

/// A forest's parts, made ready once for all blocks.
class ForestSight {
 public:
  ForestSight(const LlamaModel& model, const TokenForest& forest);
  /// q [1, heads, tokens, e]; k, v [1, kv_heads, context + tokens, e] -> q's shape.
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    bool slides) const;

 private:
  struct Ready {
    std::int64_t begin, end, first_key, end_key;
    at::Tensor keys;           // undefined: all from first_key to end_key
    at::Tensor mask, sliding;  // [1, 1, group * queries, keys]
  };
  std::vector<Ready> parts_;
};

class Forest : public Sight {
 public:
  /// @param context may be null
  Forest(const ForestSight& sight, const KvCache* context, std::size_t block)
      : sight_(sight), context_(context), block_(block) {}
  at::Tensor attend(const LlamaConfig& config, const LlamaBlock& block, const at::Tensor& q,
                    const at::Tensor& k, const at::Tensor& v) const override;

 private:
  const ForestSight& sight_;
  const KvCache* context_;
  std::size_t block_;
};

/// What a sight shows of the tokens that are each row's own. Others stand behind them, which see
/// nothing, and which nothing sees.
class OwnTokens : public Sight {
 public:
  OwnTokens(const Sight& sight, std::int64_t own) : sight_(sight), own_(own) {}
  bool own_angles() const override { return sight_.own_angles(); }
  at::Tensor attend(const LlamaConfig& config, const LlamaBlock& block, const at::Tensor& q,
                    const at::Tensor& k, const at::Tensor& v) const override;

 private:
  const Sight& sight_;
  std::int64_t own_;
};

}  // namespace harness
