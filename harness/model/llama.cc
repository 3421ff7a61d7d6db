#include "harness/model/llama.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "harness/core/error.h"
#include "harness/kernels/integer_linear.h"
#include "harness/kernels/ops.h"
#include "harness/kernels/packed_linear.h"
#include "harness/kernels/transformer_ops.h"
#include "harness/model/kv_cache.h"
#include "harness/model/row_blocks.h"
#include "harness/model/sight.h"
#include "harness/model/stored_blocks.h"
#include "harness/model/token_forest.h"
#include "harness/model/weight_loader.h"
#include "harness/model/weight_memory.h"

namespace harness {

namespace {

constexpr std::int64_t kNllChunkBytes = 64'000'000;

// Columns of an lm_head that are multiplied at once where not all fit. Products with all tokens of
// a window and 2048 columns are a quarter faster than with 300 tokens and 49,152 columns (float32,
// one core): the weight is laid out anew for each product.
constexpr std::int64_t kHeadColumns = 2048;

// The first steps of a site, as far as they are steps on rows.
RowSteps first_on_rows(const std::vector<SiteStep>& steps) {
  RowSteps first;
  for (const SiteStep& step : steps) {
    const RowStep* on_rows = std::get_if<RowStep>(&step.action);
    if (!on_rows || step.codes) break;
    first.push_back(*on_rows);
  }
  return first;
}

// The activation of a site at the input of Linears.
// @param make (steps): makes it and does these steps to its rows
template <class Make>
LinearInput run_input_site(const LlamaBlock& block, ActivationSite site, const Make& make) {
  const std::vector<SiteStep>& steps = block.sites[static_cast<std::size_t>(site)];
  const RowSteps first = first_on_rows(steps);
  LinearInput input(make(first));
  for (std::size_t i = first.size(); i < steps.size(); ++i) {
    assert(!input.codes);
    if (steps[i].codes)
      input.codes = steps[i].codes(input.values);
    else
      input.values = steps[i].apply(input.values);
  }
  return input;
}

// The same where nothing reads codes.
template <class Make>
at::Tensor run_site(const LlamaBlock& block, ActivationSite site, const Make& make) {
  return run_input_site(block, site, make).values;
}

// The fresh tensor x plus y.
at::Tensor add_to(const at::Tensor& x, const at::Tensor& y) {
  return at::GradMode::is_enabled() ? x + y : x.add_(y);
}

void check_tokens(const at::Tensor& tokens, std::int64_t vocabulary) {
  assert(tokens.dim() == 2 && tokens.scalar_type() == at::kLong);
  const at::Tensor wrong = at::logical_or(tokens < 0, tokens >= vocabulary);
  if (!wrong.any().item<bool>()) return;
  const std::int64_t index = wrong.flatten().to(at::kByte).argmax().item<std::int64_t>();
  throw Error(
      fmt::format("token {} of sequence {}", index % tokens.size(1), index / tokens.size(1)),
      fmt::format("token id {}", tokens.flatten()[index].item<std::int64_t>()),
      fmt::format("0 to {}, the rows of the model's embedding", vocabulary - 1),
      "use the tokenizer of this checkpoint");
}

void pack(Linear& linear) {
  if (can_pack(linear.weight) && !linear.integer) linear.packed = pack_weight(linear.weight);
}

// Negative log-likelihoods [n] of `targets` after states [n, hidden], some columns of the head at a
// time.
at::Tensor nll_by_columns(const Linear& head, const at::Tensor& states, const at::Tensor& targets) {
  const std::int64_t vocabulary = head.weight.size(0), tokens = states.size(0);
  // One piece of memory for all: pieces that come and go would leave holes that fit none.
  const at::Tensor memory =
      at::empty({tokens * std::min(kHeadColumns, vocabulary)}, states.options());
  at::Tensor wanted = at::zeros(targets.sizes(), at::kDouble);
  std::vector<at::Tensor> sums;
  for (std::int64_t begin = 0; begin < vocabulary; begin += kHeadColumns) {
    const std::int64_t end = std::min(begin + kHeadColumns, vocabulary);
    at::Tensor logits = memory.slice(0, 0, tokens * (end - begin)).view({tokens, end - begin});
    at::linear_out(logits, states, head.weight.slice(0, begin, end));
    if (head.bias.defined()) logits += head.bias.slice(0, begin, end);
    sums.push_back(log_sum_exp(logits));
    const at::Tensor here = (targets >= begin).logical_and(targets < end);
    const at::Tensor place = (targets - begin).clamp(0, end - begin - 1).unsqueeze(1);
    wanted = at::where(here, logits.gather(1, place).squeeze(1).to(at::kDouble), wanted);
  }
  return (at::logsumexp(at::stack(sums), 0) - wanted).to(at::kFloat);
}

// Says that a stored block is in memory as long as it lives.
class Visit {
 public:
  explicit Visit(bool& visited) : visited_(visited) {
    assert(!visited_);  // two blocks would be in memory, or two versions of one
    visited_ = true;
  }
  ~Visit() { visited_ = false; }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;

 private:
  bool& visited_;
};

at::Tensor attention(const LlamaConfig& config, const LlamaBlock& block, const LinearInput& x,
                     const Rope& rope, const Sight& sight) {
  const std::int64_t batch = x.values.size(0), tokens = x.values.size(1);
  auto heads = [&](const at::Tensor& y, std::int64_t count) {
    return y.view({batch, tokens, count, config.head_dim}).transpose(1, 2);
  };
  auto rotated = [&](const Linear& linear, const at::Tensor& norm, std::int64_t count,
                     const RowSteps& then) {
    at::Tensor y = linear.apply(x);
    if (norm.defined())
      y = rms_norm(y.view({batch, tokens, count, config.head_dim}), norm, config.rms_norm_eps);
    if (!sight.own_angles()) return rotate_halves(heads(y, count), rope.cos, rope.sin, then);
    // Each row stands at positions of its own: their tokens are rotated as those of one row.
    const at::Tensor one_row = y.view({1, batch * tokens, count, config.head_dim}).transpose(1, 2);
    const at::Tensor turned = rotate_halves(one_row, rope.cos, rope.sin).transpose(1, 2);
    return apply_rows(heads(turned.reshape({batch, tokens, -1}), count), then);
  };
  const at::Tensor q = run_site(block, ActivationSite::q, [&](const RowSteps& then) {
    return rotated(block.q, block.q_norm, config.num_attention_heads, then);
  });
  const at::Tensor k = run_site(block, ActivationSite::k, [&](const RowSteps& then) {
    return rotated(block.k, block.k_norm, config.num_key_value_heads, then);
  });
  const at::Tensor v = run_site(block, ActivationSite::v, [&](const RowSteps& then) {
    return apply_rows(heads(block.v.apply(x), config.num_key_value_heads), then);
  });
  const at::Tensor mixed = sight.attend(config, block, q, k, v);
  return block.o.apply(run_input_site(block, ActivationSite::o_in, [&](const RowSteps& then) {
    return apply_rows(mixed.transpose(1, 2).reshape({batch, tokens, -1}), then);
  }));
}

at::Tensor mlp(const LlamaBlock& block, const LinearInput& x) {
  return block.down.apply(run_input_site(block, ActivationSite::down_in, [&](const RowSteps& then) {
    return swiglu(block.gate.apply(x), block.up.apply(x), then);
  }));
}

at::Tensor pass_block(const LlamaConfig& config, const LlamaBlock& block, const at::Tensor& x,
                      const Rope& rope, const Sight& sight) {
  auto normed = [&](ActivationSite site, const at::Tensor& values, const at::Tensor& norm) {
    return run_input_site(block, site, [&](const RowSteps& then) {
      return rms_norm(values, norm, config.rms_norm_eps, then);
    });
  };
  const LinearInput attention_in = normed(ActivationSite::attention_in, x, block.input_norm);
  const at::Tensor middle = add_to(attention(config, block, attention_in, rope, sight), x);
  const LinearInput mlp_in = normed(ActivationSite::mlp_in, middle, block.post_attention_norm);
  return add_to(mlp(block, mlp_in), middle);
}

// A pass on its way through the blocks.
class PassUnderway {
 public:
  PassUnderway(const LlamaModel& model, const Pass& pass) : config_(model.config()), pass_(pass) {
    at::Tensor tokens = pass.tokens;
    if (pass.forest) {
      const TokenForest& forest = *pass.forest;
      assert((pass.context ? pass.context->lengths()[0] : 0) == forest.context);
      tokens = at::tensor(forest.tokens, at::kLong).unsqueeze(0);
      const at::Tensor positions = at::tensor(forest.positions, at::kLong).to(model.device());
      const Rope all = model.rope(positions.max().item<std::int64_t>() + 1);
      rope_ = {all.cos.index_select(0, positions), all.sin.index_select(0, positions)};
      forest_.emplace(model, forest);
    } else if (pass.cache) {
      cached_ = pass.cache->begin(tokens.size(1));
      rope_ = cached_.rope;
    } else {
      rope_ = model.rope(tokens.size(1));
    }
    own_ = tokens.size(1);
    if (pass.forest || pass.cache) fill(tokens);
    x_ = model.embed(tokens);
  }

  void go_through(const LlamaBlock& block, std::size_t layer) {
    auto go = [&](const Sight& sight) {
      x_ = pass_block(config_, block, x_, rope_, OwnTokens(sight, own_));
    };
    if (forest_)
      go(Forest(*forest_, pass_.context, layer));
    else if (pass_.cache)
      go(CachedSight(*pass_.cache, cached_, layer));
    else
      go(WholeSequences());
  }
  at::Tensor take() {
    const at::Tensor x = std::move(x_);
    return x.size(1) == own_ ? x : x.slice(1, 0, own_).contiguous();
  }

 private:
  // Repeats the last token of each row and its angles, so that few shapes occur.
  void fill(at::Tensor& tokens) {
    const std::int64_t count = filled_tokens(own_, tokens.size(0));
    if (count == own_) return;
    auto filled = [&](const at::Tensor& x) {
      const at::Tensor places = at::arange(count, at::kLong).clamp_max(own_ - 1);
      return x.index_select(1, places.to(x.device()));
    };
    auto angles = [&](const at::Tensor& x) {
      return filled(x.view({-1, own_, x.size(1)})).flatten(0, 1);
    };
    tokens = filled(tokens);
    rope_ = {angles(rope_.cos), angles(rope_.sin)};
  }

  const LlamaConfig& config_;
  Pass pass_;
  std::int64_t own_;  // tokens of each row
  at::Tensor x_;      // [batch, tokens, hidden]; behind a row's own others may stand
  Rope rope_;
  KvCache::Pass cached_{};             // where there is a cache
  std::optional<ForestSight> forest_;  // where there is a forest
};

}  // namespace

at::Tensor SiteStep::apply(const at::Tensor& x) const {
  if (const RowStep* step = std::get_if<RowStep>(&action)) return apply_rows(x, {*step});
  return std::get<1>(action)(x);
}

const char* activation_site_name(ActivationSite site) {
  switch (site) {
    case ActivationSite::attention_in:
      return "attention_in";
    case ActivationSite::o_in:
      return "o_in";
    case ActivationSite::mlp_in:
      return "mlp_in";
    case ActivationSite::down_in:
      return "down_in";
    case ActivationSite::q:
      return "q";
    case ActivationSite::k:
      return "k";
    case ActivationSite::v:
      return "v";
  }
  assert(false);
  return "";
}

at::Tensor Linear::apply(const LinearInput& x) const {
  if (x.codes) return integer_linear(*x.codes, *integer);
  if (packed.defined() && !at::GradMode::is_enabled() && packed_is_faster(x.values))
    return packed_linear(x.values, packed, optional_bias());
  return at::linear(x.values, weight, optional_bias());
}

std::optional<at::Tensor> Linear::optional_bias() const {
  return bias.defined() ? std::optional(bias) : std::nullopt;
}

std::vector<std::pair<std::string, Linear*>> LlamaBlock::linears() {
  return {{"self_attn.q_proj", &q}, {"self_attn.k_proj", &k}, {"self_attn.v_proj", &v},
          {"self_attn.o_proj", &o}, {"mlp.gate_proj", &gate}, {"mlp.up_proj", &up},
          {"mlp.down_proj", &down}};
}

std::vector<std::pair<std::string, at::Tensor*>> LlamaBlock::named_tensors() {
  std::vector<std::pair<std::string, at::Tensor*>> tensors = {
      {"input_layernorm.weight", &input_norm},
      {"post_attention_layernorm.weight", &post_attention_norm}};
  if (q_norm.defined()) tensors.emplace_back("self_attn.q_norm.weight", &q_norm);
  if (k_norm.defined()) tensors.emplace_back("self_attn.k_norm.weight", &k_norm);
  for (const auto& [name, linear] : linears()) {
    tensors.emplace_back(name + ".weight", &linear->weight);
    if (linear->bias.defined()) tensors.emplace_back(name + ".bias", &linear->bias);
  }
  return tensors;
}

void LlamaModel::untie() {
  if (!config_.tie_word_embeddings) return;
  check_room_for_head(config_, dtype_, device_, memory_limit_);
  unpacked().lm_head_.weight = embedding_.clone();
  config_.tie_word_embeddings = false;
  prefetches_ = stored_ && prefetches_at(config_, dtype_, device_, *memory_limit_);
}

std::vector<std::pair<std::string, at::Tensor*>> LlamaModel::named_tensors() {
  std::vector<std::pair<std::string, at::Tensor*>> tensors = {
      {"model.embed_tokens.weight", &embedding_}};
  std::vector<LlamaBlock>& blocks = this->blocks();
  for (std::size_t layer = 0; layer < blocks.size(); ++layer)
    for (const auto& [name, tensor] : blocks[layer].named_tensors())
      tensors.emplace_back(fmt::format("model.layers.{}.{}", layer, name), tensor);
  tensors.emplace_back("model.norm.weight", &final_norm_);
  if (!config_.tie_word_embeddings) tensors.emplace_back("lm_head.weight", &lm_head_.weight);
  return tensors;
}

LlamaModel::LlamaModel() = default;
LlamaModel::~LlamaModel() = default;

std::unique_ptr<LlamaModel> LlamaModel::load(const Checkpoint& checkpoint, at::ScalarType dtype,
                                             at::Device device,
                                             std::optional<std::int64_t> memory_limit) {
  const LlamaConfig& config = checkpoint.config();
  const bool streams = streams_at(config, dtype, device, memory_limit);
  const WeightLoader loader(checkpoint, dtype, device);
  auto model = std::make_unique<LlamaModel>();
  model->config_ = config;
  model->dtype_ = dtype;
  model->device_ = device;
  model->memory_limit_ = memory_limit;
  model->embedding_ =
      loader.tensor("model.embed_tokens.weight", {config.vocab_size, config.hidden_size});
  const auto layers = static_cast<std::size_t>(config.num_hidden_layers);
  if (streams) {
    model->blocks_.resize(layers);
    model->stored_ = std::make_unique<StoredBlocks>(loader, layers);
    model->prefetches_ = prefetches_at(config, dtype, device, *memory_limit);
  } else {
    for (std::size_t layer = 0; layer < layers; ++layer)
      model->blocks_.push_back(loader.block(static_cast<std::int64_t>(layer)));
  }
  model->final_norm_ = loader.tensor("model.norm.weight", {config.hidden_size});
  if (config.tie_word_embeddings)
    model->lm_head_.weight = model->embedding_;
  else
    model->lm_head_ = loader.linear("lm_head", config.vocab_size, config.hidden_size, false);
  if (streams) checkpoint.release();
  return model;
}

void LlamaModel::read_block(std::size_t layer,
                            const std::function<void(const LlamaBlock&)>& look) const {
  if (!stored_) return look(blocks_[layer]);
  const Visit visit(visited_);
  LlamaBlock block = stored_->fetch(layer);
  block.sites = blocks_[layer].sites;
  if (packed_)
    for (const auto& [name, linear] : block.linears()) {
      pack(*linear);
      if (linear->packed.defined()) linear->weight.reset();
    }
  look(block);
}

void LlamaModel::change_block(std::size_t layer, const std::function<void(LlamaBlock&)>& change) {
  unpacked();
  if (!stored_) return change(blocks_[layer]);
  const Visit visit(visited_);
  LlamaBlock block = stored_->fetch(layer);
  block.sites = blocks_[layer].sites;
  change(block);
  stored_->keep(layer, block);
  blocks_[layer].sites = std::move(block.sites);
}

std::vector<LlamaBlock>& LlamaModel::blocks() {
  if (stored_)
    throw Error("model",
                "weights on disk, as memory_limit says, where all blocks are wanted at once",
                "a model that is in memory as a whole", "leave out memory_limit, or raise it");
  return unpacked().blocks_;
}

void LlamaModel::pack_weights() {
  for (Linear* linear : linears_in_memory()) pack(*linear);
  packed_ = true;
}

void LlamaModel::pack_for_few_rows() {
  for (Linear* linear : linears_in_memory())
    if (can_pack_for_few_rows(linear->weight) && !linear->integer)
      linear->packed = pack_weight(linear->weight);
  packed_ = true;
}

void LlamaModel::drop_packed_for_few_rows() {
  for (Linear* linear : linears_in_memory())
    if (can_pack_for_few_rows(linear->weight)) linear->packed.reset();
}

LlamaModel& LlamaModel::unpacked() {
  if (!packed_) return *this;
  for (Linear* linear : linears_in_memory()) linear->packed.reset();
  packed_ = false;
  return *this;
}

std::vector<Linear*> LlamaModel::linears_in_memory() {
  std::vector<Linear*> linears = {&lm_head_};
  if (!stored_)
    for (LlamaBlock& block : blocks_)
      for (auto& [name, linear] : block.linears()) linears.push_back(linear);
  return linears;
}

at::Tensor LlamaModel::embed(const at::Tensor& tokens) const {
  check_tokens(tokens, embedding_.size(0));
  return at::embedding(embedding_, tokens.to(device_));
}

at::Tensor LlamaModel::apply_block(const LlamaBlock& block, const at::Tensor& x,
                                   const Rope& rope) const {
  at::Tensor y = pass_block(config_, block, x, rope, WholeSequences());
  check_quantized(device_);
  return y;
}

at::Tensor LlamaModel::hidden(const at::Tensor& tokens) const {
  return hidden_together({{tokens}}).front();
}

at::Tensor LlamaModel::hidden(const at::Tensor& tokens, KvCache& cache) const {
  return hidden_together({{tokens, &cache}}).front();
}

at::Tensor LlamaModel::hidden(const TokenForest& forest, const KvCache* context) const {
  return hidden_together({{{}, nullptr, &forest, context}}).front();
}

std::vector<at::Tensor> LlamaModel::hidden_together(const std::vector<Pass>& passes,
                                                    const ShareDone& done) const {
  std::vector<PassUnderway> underway;
  for (const Pass& pass : passes) underway.emplace_back(*this, pass);
  for (std::size_t layer = 0; layer < layers(); ++layer) {
    read_block(layer, [&](const LlamaBlock& block) {
      if (prefetches_ && layer + 1 < layers()) stored_->prefetch(layer + 1);
      for (std::size_t i = 0; i < passes.size(); ++i) {
        if (stored_) check_interrupted();
        underway[i].go_through(block, layer);
        if (done)
          done(static_cast<double>(layer * passes.size() + i + 1) /
               static_cast<double>(layers() * passes.size()));
      }
    });
  }
  std::vector<at::Tensor> states;
  for (PassUnderway& pass : underway)
    states.push_back(rms_norm(pass.take(), final_norm_, config_.rms_norm_eps));
  check_quantized(device_);
  return states;
}

std::int64_t LlamaModel::tokens_together() const {
  return stored_ ? std::max<std::int64_t>(1, block_parameter_count(config_) / config_.hidden_size)
                 : 0;
}

at::Tensor LlamaModel::logits(const at::Tensor& tokens) const { return head(hidden(tokens)); }

std::int64_t nll_chunk_tokens(std::int64_t vocabulary, at::ScalarType dtype) {
  const std::int64_t bytes = vocabulary * static_cast<std::int64_t>(at::elementSize(dtype));
  return std::max<std::int64_t>(1, kNllChunkBytes / bytes);
}

at::Tensor LlamaModel::token_nll(const at::Tensor& tokens) const {
  return token_nll_together({tokens}).front();
}

std::vector<at::Tensor> LlamaModel::token_nll_together(const std::vector<at::Tensor>& batches,
                                                       const ShareDone& done) const {
  std::vector<Pass> passes;
  for (const at::Tensor& tokens : batches) passes.push_back({tokens});
  std::vector<at::Tensor> results = hidden_together(passes, done);
  for (std::size_t i = 0; i < batches.size(); ++i)
    results[i] = nll_of_states(results[i], batches[i]);
  return results;
}

at::Tensor LlamaModel::nll_of_states(const at::Tensor& states, const at::Tensor& tokens) const {
  const std::int64_t predicted = tokens.size(1) - 1, vocabulary = lm_head_.weight.size(0);
  // A packed weight has no columns by themselves.
  const bool by_columns = device_.is_cpu() && !lm_head_.packed.defined() &&
                          nll_chunk_tokens(vocabulary, dtype_) < predicted;
  const std::int64_t limit =
      nll_chunk_tokens(by_columns ? std::min(kHeadColumns, vocabulary) : vocabulary, dtype_);
  const std::int64_t chunks = std::max<std::int64_t>(1, (predicted + limit - 1) / limit);
  const std::int64_t chunk = std::max<std::int64_t>(1, (predicted + chunks - 1) / chunks);
  const at::Tensor targets = tokens.to(device_);
  std::vector<at::Tensor> rows;
  for (std::int64_t row = 0; row < tokens.size(0); ++row) {
    std::vector<at::Tensor> parts;
    for (std::int64_t begin = 0; begin < predicted; begin += chunk) {
      const std::int64_t end = std::min(begin + chunk, predicted);
      const at::Tensor before = states[row].slice(0, begin, end);
      const at::Tensor wanted = targets[row].slice(0, begin + 1, end + 1);
      parts.push_back(by_columns ? nll_by_columns(lm_head_, before, wanted)
                                 : harness::token_nll(lm_head_.apply(before), wanted));
    }
    rows.push_back(parts.empty() ? at::empty({0}, states.options().dtype(at::kFloat))
                                 : at::cat(parts));
  }
  return at::stack(rows);
}

}  // namespace harness
