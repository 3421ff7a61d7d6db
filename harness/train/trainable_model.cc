#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "harness/kernels/transformer_ops.h"
#include "harness/train/trainer.h"

namespace harness {
namespace {

constexpr std::int64_t kNoTarget = -100;

at::ScalarType product_dtype(const std::string& name) {
  if (name == "bf16") return at::kBFloat16;
  return name == "fp64" ? at::kDouble : at::kFloat;
}

}  // namespace

TrainableModel::TrainableModel(const Checkpoint& checkpoint, const TrainOptions& options)
    : mixed_(options.dtype == "bf16"), checkpoint_blocks_(options.checkpoint_blocks) {
  model_ = LlamaModel::load(checkpoint, product_dtype(options.dtype), at::kCPU);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : model_->named_tensors()) names.push_back(name);
  Problems problems;
  check_train_options(options, names, "training", problems);
  problems.throw_if_any();
  for (const auto& [name, tensor] : model_->named_tensors()) {
    Weight weight;
    weight.name = name;
    weight.product = *tensor;
    weight.frozen = is_frozen(options, name);
    weight.master = mixed_ ? checkpoint.load(name).to(at::kFloat, false, /*copy=*/true).contiguous()
                           : weight.product;
    weight.master.set_requires_grad(!weight.frozen);
    index_[name] = weights_.size();
    weights_.push_back(std::move(weight));
  }
}

std::map<std::string, at::Tensor> TrainableModel::tensors() const {
  std::map<std::string, at::Tensor> result;
  for (const Weight& weight : weights_) result[weight.name] = weight.master.detach();
  return result;
}

void TrainableModel::clear_gradients() {
  for (Weight& weight : weights_) weight.master.mutable_grad().reset();
}

void TrainableModel::refresh_products() {
  if (!mixed_) return;
  const at::NoGradGuard no_gradients;
  for (Weight& weight : weights_)
    if (!weight.frozen) weight.product.copy_(weight.master);
}

// The weight as the products use it, in the graph that leads to its master.
at::Tensor TrainableModel::differentiable(const std::string& name) const {
  const Weight& w = weight(name);
  return mixed_ && !w.frozen ? w.master.to(model_->dtype()) : w.product;
}

at::Tensor TrainableModel::embed(const at::Tensor& tokens) const {
  const Weight& w = weight("model.embed_tokens.weight");
  return at::embedding(w.frozen ? w.product : w.master, tokens).to(model_->dtype());
}

at::Tensor TrainableModel::apply_block(std::size_t layer, const at::Tensor& x,
                                       const Rope& rope) const {
  LlamaBlock block = model_->blocks()[layer];
  for (const auto& [name, tensor] : block.named_tensors())
    *tensor = differentiable(fmt::format("model.layers.{}.{}", layer, name));
  return model_->apply_block(block, x, rope);
}

// From the last block's output [n, length, hidden] to the loss and back to it. The logits are made
// in chunks of tokens, each of which goes back at once: only one chunk's float32 logits are held.
double TrainableModel::backward_from_head(const at::Tensor& x, const at::Tensor& targets,
                                          double count) const {
  const LlamaConfig& config = model_->config();
  const at::Tensor flat_targets = targets.flatten();
  const at::Tensor chosen = flat_targets.ne(kNoTarget).nonzero().flatten();
  const at::Tensor normed = rms_norm(x, differentiable("model.norm.weight"), config.rms_norm_eps);
  const at::Tensor states = normed.view({-1, config.hidden_size}).index_select(0, chosen);
  const at::Tensor wanted = flat_targets.index_select(0, chosen);
  const at::Tensor fixed = states.detach();
  const at::Tensor gradient = at::empty_like(fixed);
  const char* head = config.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  const at::ScalarType wide = model_->dtype() == at::kDouble ? at::kDouble : at::kFloat;
  const std::int64_t chunk = nll_chunk_tokens(config.vocab_size, wide);
  double loss = 0;
  for (std::int64_t begin = 0; begin < fixed.size(0); begin += chunk) {
    const std::int64_t end = std::min(begin + chunk, fixed.size(0));
    const at::Tensor part = fixed.slice(0, begin, end).detach().set_requires_grad(true);
    const at::Tensor logits = at::linear(part, differentiable(head)).to(wide);
    const at::Tensor nll =
        at::cross_entropy_loss(logits, wanted.slice(0, begin, end), {}, at::Reduction::Sum) / count;
    nll.backward();
    gradient.slice(0, begin, end).copy_(part.grad());
    loss += nll.item<double>();
  }
  if (states.requires_grad() && states.size(0) > 0) states.backward(gradient);
  return loss;
}

double TrainableModel::accumulate_gradients(const TrainBatch& batch, std::int64_t targets) {
  const at::AutoGradMode with_gradients(true);
  const Rope rope = model_->rope(batch.tokens.size(1));
  const auto count = static_cast<double>(targets);
  const std::size_t layers = model_->blocks().size();
  at::Tensor x = embed(batch.tokens);
  if (!checkpoint_blocks_) {
    for (std::size_t layer = 0; layer < layers; ++layer) x = apply_block(layer, x, rope);
    return backward_from_head(x, batch.targets, count);
  }

  // Each block's graph lives only while it is gone back through; its input is kept. The forward
  // pass records a graph too and drops it, so that both passes run the same kernels.
  const at::Tensor embedded = x;
  std::vector<at::Tensor> inputs;
  bool learns = embedded.requires_grad();  // whether anything up to here does
  for (std::size_t layer = 0; layer < layers; ++layer) {
    inputs.push_back(x.detach().set_requires_grad(learns));
    x = apply_block(layer, inputs.back(), rope);
    learns = x.requires_grad();
  }
  const at::Tensor last = x.detach().set_requires_grad(learns);
  x.reset();
  const double loss = backward_from_head(last, batch.targets, count);
  at::Tensor gradient = last.grad();
  for (std::size_t layer = layers; layer-- > 0 && gradient.defined();) {
    const at::Tensor output = apply_block(layer, inputs[layer], rope);
    output.backward(gradient);
    gradient = inputs[layer].grad();
    inputs[layer].reset();
  }
  if (gradient.defined() && embedded.requires_grad()) embedded.backward(gradient);
  return loss;
}

}  // namespace harness
