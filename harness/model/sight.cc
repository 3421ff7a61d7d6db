#include "harness/model/sight.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>

#include "harness/kernels/attention.h"

namespace harness {
namespace {

// Queries of a forest whose keys are looked up, and masked, at once: enough for full products, few
// enough that most of what is looked up is seen.
constexpr std::int64_t kPartTokens = 256, kPartTokensOnGpu = 512;

// Query heads of a group read the same key and value head. A copy: the CPU's flash kernel wants
// equal counts.
at::Tensor repeat_heads(const at::Tensor& x, std::int64_t times) {
  if (times == 1) return x;
  const auto sizes = x.sizes();
  return x.unsqueeze(2)
      .expand({sizes[0], sizes[1], times, sizes[2], sizes[3]})
      .reshape({sizes[0], sizes[1] * times, sizes[2], sizes[3]});
}

// Queries of a group stand side by side as queries of their one head, so that K and V are read
// where they are. [batch, heads, tokens, e] as [batch, kv_heads, group * tokens, e], and back.
at::Tensor attend_masked(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                         const at::Tensor& seen) {
  const at::Tensor grouped = q.reshape({q.size(0), k.size(1), -1, q.size(3)});
  return at::scaled_dot_product_attention(grouped, k, v, seen).reshape(q.sizes());
}

// Each token sees itself and the window - 1 before it. In chunks of queries, each with the keys
// that some of them see: time and memory grow with tokens * window. q, k, v [batch, heads, tokens,
// e].
at::Tensor attend_window(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                         std::int64_t window) {
  constexpr std::int64_t kQueries = 512;
  const std::int64_t tokens = q.size(2);
  const at::Tensor places = at::arange(tokens, q.options().dtype(at::kLong));
  std::vector<at::Tensor> parts;
  for (std::int64_t begin = 0; begin < tokens; begin += kQueries) {
    const std::int64_t end = std::min(begin + kQueries, tokens);
    const std::int64_t first = std::max<std::int64_t>(0, begin - window + 1);
    const at::Tensor seen =
        seen_keys(places.slice(0, begin, end).unsqueeze(1), places.slice(0, first, end), window);
    parts.push_back(at::scaled_dot_product_attention(q.slice(2, begin, end), k.slice(2, first, end),
                                                     v.slice(2, first, end), seen));
  }
  return at::cat(parts, 2);
}

}  // namespace

at::Tensor WholeSequences::attend(const LlamaConfig& config, const LlamaBlock& block,
                                  const at::Tensor& q, const at::Tensor& k,
                                  const at::Tensor& v) const {
  if (can_attend(q, k)) return causal_attention(q, k, v, block.window);
  const std::int64_t group = config.num_attention_heads / config.num_key_value_heads;
  const at::Tensor all_k = repeat_heads(k, group), all_v = repeat_heads(v, group);
  if (block.window && *block.window < q.size(2))
    return attend_window(q, all_k, all_v, *block.window);
  return at::scaled_dot_product_attention(q, all_k, all_v, /*attn_mask=*/{}, /*dropout_p=*/0.0,
                                          /*is_causal=*/true);
}

at::Tensor CachedSight::attend(const LlamaConfig& config, const LlamaBlock& block,
                               const at::Tensor& q, const at::Tensor& k,
                               const at::Tensor& v) const {
  const auto [held_k, held_v] = cache_.append(pass_, block_, k, v);
  if (pass_.first) return WholeSequences().attend(config, block, q, k, v);
  return attend_masked(q, held_k, held_v, pass_.seen_by(block.window));
}

ForestSight::ForestSight(const LlamaModel& model, const TokenForest& forest) {
  const LlamaConfig& config = model.config();
  const std::int64_t group = config.num_attention_heads / config.num_key_value_heads;
  const std::int64_t longest = *std::max_element(forest.positions.begin(), forest.positions.end());
  auto mask = [&](const ForestPart& part, std::optional<std::int64_t> window) {
    return part_mask(forest, part, window)
        .to(model.device(), model.dtype())
        .repeat({group, 1})
        .unsqueeze(0)
        .unsqueeze(0);
  };
  for (ForestPart& part :
       forest_parts(forest, model.device().is_cpu() ? kPartTokens : kPartTokensOnGpu)) {
    Ready ready;
    ready.begin = part.begin;
    ready.end = part.end;
    ready.first_key = part.keys.front();
    ready.end_key = part.keys.back() + 1;
    if (!part.contiguous()) ready.keys = at::tensor(part.keys, at::kLong).to(model.device());
    ready.mask = mask(part, {});
    ready.sliding = config.sliding_window && *config.sliding_window <= longest
                        ? mask(part, config.sliding_window)
                        : ready.mask;
    parts_.push_back(std::move(ready));
  }
}

at::Tensor ForestSight::attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               bool slides) const {
  const at::Tensor k_rows = k[0].transpose(0, 1), v_rows = v[0].transpose(0, 1);
  std::vector<at::Tensor> mixed;
  for (const Ready& part : parts_) {
    auto seen = [&](const at::Tensor& all, const at::Tensor& rows) {
      if (!part.keys.defined()) return all.slice(2, part.first_key, part.end_key);
      return rows.index_select(0, part.keys).transpose(0, 1).unsqueeze(0);
    };
    mixed.push_back(attend_masked(q.slice(2, part.begin, part.end), seen(k, k_rows),
                                  seen(v, v_rows), slides ? part.sliding : part.mask));
  }
  return at::cat(mixed, 2);
}

at::Tensor Forest::attend(const LlamaConfig&, const LlamaBlock& block, const at::Tensor& q,
                          const at::Tensor& k, const at::Tensor& v) const {
  if (!context_) return sight_.attend(q, k, v, block.window.has_value());
  const auto [held_k, held_v] = context_->held(block_);
  // Token by token in memory, as k and v are: parts look rows up.
  auto joined = [](const at::Tensor& held, const at::Tensor& x) {
    return at::cat({held.transpose(1, 2), x.transpose(1, 2)}, 1).transpose(1, 2);
  };
  return sight_.attend(q, joined(held_k, k), joined(held_v, v), block.window.has_value());
}

at::Tensor OwnTokens::attend(const LlamaConfig& config, const LlamaBlock& block,
                             const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const {
  const std::int64_t others = q.size(2) - own_;
  if (others == 0) return sight_.attend(config, block, q, k, v);
  auto own = [&](const at::Tensor& x) { return x.slice(2, 0, own_); };
  const at::Tensor mixed = sight_.attend(config, block, own(q), own(k), own(v));
  return at::constant_pad_nd(mixed, {0, 0, 0, others});
}

}  // namespace harness
