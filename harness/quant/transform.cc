#include "harness/quant/transform.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <functional>

#include "harness/core/error.h"
#include "harness/core/log.h"
#include "harness/kernels/hadamard.h"
#include "harness/quant/wide.h"

namespace harness {
namespace {

// Memory for the float64 copy of a part of a weight.
constexpr std::int64_t kChunkBytes = 256'000'000;

/// What becomes of vectors [..., features], in float64: the rows of a weight on its Linear's input
/// side; the columns of a weight and the bias on the output side.
using Change = std::function<at::Tensor(const at::Tensor&)>;

Change nothing() {
  return [](const at::Tensor& x) { return x; };
}

at::Tensor widened(const at::Tensor& x) { return x.to(at::kDouble); }

/// f on the rows of a matrix, in place, a part at a time.
void change_rows(at::Tensor matrix, const Change& change) {
  const std::int64_t row_bytes = matrix.size(1) * static_cast<std::int64_t>(sizeof(double));
  for (at::Tensor& part : matrix.split(std::max<std::int64_t>(1, kChunkBytes / row_bytes))) {
    check_interrupted();
    part.copy_(change(widened(part)));
  }
}

/// Both sides in float64, and one rounding.
void change_linear(Linear& linear, const Change& input, const Change& output) {
  check_interrupted();
  const at::Tensor by_input = input(widened(linear.weight));
  linear.weight.copy_(output(by_input.t().contiguous()).t());
  if (linear.bias.defined()) linear.bias.copy_(output(widened(linear.bias)));
}

/// Checks shapes and brings the tensors to the model's device.
class Reader {
 public:
  explicit Reader(const LlamaModel& model) : model_(model) {}

  at::Tensor operator()(const char* name, const at::Tensor& tensor,
                        std::vector<std::int64_t> shape) const {
    if (!tensor.defined()) return tensor;
    if (tensor.sizes() != at::IntArrayRef(shape) || tensor.scalar_type() != at::kDouble)
      throw Error(fmt::format("transform, {}", name),
                  fmt::format("{} [{}]", c10::toString(tensor.scalar_type()),
                              fmt::join(tensor.sizes(), ", ")),
                  fmt::format("float64 [{}]", fmt::join(shape, ", ")),
                  "use a transform that was made for a model of this shape");
    return tensor.detach().to(model_.device());
  }
  at::Tensor operator()(const char* name, const std::vector<at::Tensor>& per_layer,
                        std::size_t layer, std::vector<std::int64_t> shape) const {
    if (per_layer.empty()) return {};
    if (per_layer.size() != static_cast<std::size_t>(model_.config().num_hidden_layers))
      throw Error(fmt::format("transform, {}", name), fmt::format("{} layers", per_layer.size()),
                  fmt::format("{}", model_.config().num_hidden_layers),
                  "use a transform that was made for a model of this shape");
    return (*this)(name, per_layer[layer], std::move(shape));
  }

 private:
  const LlamaModel& model_;
};

/// What each kv head has, for each of the heads that read it.
at::Tensor for_group(const at::Tensor& per_kv_head, std::int64_t group) {
  return per_kv_head.defined() ? per_kv_head.repeat_interleave(group, 0) : per_kv_head;
}

/// x [..., heads * e], each head by its own rotation [heads, e, e].
at::Tensor rotated_heads(const at::Tensor& x, const at::Tensor& rotations) {
  if (!rotations.defined()) return x;
  const at::Tensor heads = x.reshape({-1, rotations.size(0), 1, rotations.size(1)});
  return heads.matmul(rotations).reshape(x.sizes());
}

void fold_block(const LlamaConfig& config, LlamaBlock& block, const at::Tensor& r_res,
                const Reader& read, const Transform& t, std::size_t layer) {
  const std::int64_t d = config.hidden_size, f = config.intermediate_size, e = config.head_dim;
  const std::int64_t kv_heads = config.num_key_value_heads;
  const std::int64_t group = config.num_attention_heads / kv_heads;
  const at::Tensor r_ov = read("r_ov", t.r_ov, layer, {kv_heads, e, e});
  const at::Tensor s_ov = read("s_ov", t.s_ov, layer, {kv_heads * e});
  const bool in_norms = block.k_norm.defined();  // S_qk: what lies before a norm would be undone
  const at::Tensor s_qk = read("s_qk", t.s_qk, layer, {in_norms ? e : kv_heads * e});
  const at::Tensor s_up_down = read("s_up_down", t.s_up_down, layer, {f});
  const at::Tensor s_norm_attn = read("s_norm_attn", t.s_norm_attn, layer, {d});
  const at::Tensor s_norm_mlp = read("s_norm_mlp", t.s_norm_mlp, layer, {d});
  auto repeated = [&](const at::Tensor& s) {
    return s.defined() ? for_group(s.view({kv_heads, e}), group).flatten() : s;
  };

  auto from_norm = [&](const at::Tensor& norm, const at::Tensor& s_norm) -> Change {
    const at::Tensor gain = widened(norm);
    return [=](const at::Tensor& x) { return scaled(rotated(x * gain, r_res), s_norm); };
  };
  const Change attention_in = from_norm(block.input_norm, s_norm_attn);
  const Change mlp_in = from_norm(block.post_attention_norm, s_norm_mlp);
  const Change residual = [&](const at::Tensor& x) { return rotated(x, r_res); };
  const at::Tensor o_scale = repeated(s_ov), o_rotation = for_group(r_ov, group);
  const Change o_in = [&](const at::Tensor& x) {
    const at::Tensor y = rotated_heads(scaled(x, o_scale), o_rotation);
    return t.online_heads ? hadamard_transform(y, e) : y;
  };
  const Change down_in = [&](const at::Tensor& x) {
    const at::Tensor y = scaled(x, s_up_down);
    return t.online_down ? hadamard_transform(y) : y;
  };

  const at::Tensor k_scale = in_norms ? at::Tensor() : s_qk, q_scale = repeated(k_scale);
  change_linear(block.q, attention_in, [&](const at::Tensor& x) { return unscaled(x, q_scale); });
  change_linear(block.k, attention_in, [&](const at::Tensor& x) { return scaled(x, k_scale); });
  change_linear(block.v, attention_in,
                [&](const at::Tensor& x) { return rotated_heads(unscaled(x, s_ov), r_ov); });
  change_linear(block.o, o_in, residual);
  change_linear(block.gate, mlp_in, nothing());
  change_linear(block.up, mlp_in, [&](const at::Tensor& x) { return unscaled(x, s_up_down); });
  change_linear(block.down, down_in, residual);

  if (in_norms) {
    block.q_norm.copy_(unscaled(widened(block.q_norm), s_qk));
    block.k_norm.copy_(scaled(widened(block.k_norm), s_qk));
  }
  auto set_gain = [](at::Tensor& gain, const at::Tensor& scale) {
    gain.copy_(unscaled(at::ones(gain.sizes(), gain.options().dtype(at::kDouble)), scale));
  };
  set_gain(block.input_norm, s_norm_attn);
  set_gain(block.post_attention_norm, s_norm_mlp);
}

void log_partial_hadamards(const LlamaConfig& config, const Transform& t) {
  if (t.online_down) log_partial_hadamard("input of down", config.intermediate_size);
  if (t.online_heads) log_partial_hadamard("input of o, across heads", config.num_attention_heads);
  if (t.online_qk) log_partial_hadamard("Q and K", config.head_dim);
}

void add_online_steps(LlamaModel& model, std::size_t layer, const Transform& t) {
  auto add = [&](ActivationSite site, const char* name, std::int64_t inner) {
    std::vector<SiteStep>& steps = model.steps(layer, site);
    assert(steps.empty());  // what stands there would come before, what is folded after it
    steps.push_back({name, HadamardRows{inner}});
  };
  if (t.online_down) add(ActivationSite::down_in, "hadamard", 1);
  if (t.online_heads) add(ActivationSite::o_in, "hadamard across heads", model.config().head_dim);
  if (t.online_qk) {
    add(ActivationSite::q, "hadamard", 1);
    add(ActivationSite::k, "hadamard", 1);
  }
}

}  // namespace

void add_online_steps(LlamaModel& model, const Transform& transform) {
  for (std::size_t layer = 0; layer < model.layers(); ++layer)
    add_online_steps(model, layer, transform);
}

void fold_norms(LlamaModel& model) { fold(model, {}); }

void fold(LlamaModel& model, const Transform& transform) {
  const at::NoGradGuard no_gradients;
  const LlamaConfig& config = model.config();
  const Reader read(model);
  const at::Tensor r_res = read("r_res", transform.r_res, {config.hidden_size, config.hidden_size});
  log_partial_hadamards(config, transform);
  model.untie();
  for (std::size_t layer = 0; layer < model.layers(); ++layer)
    model.change_block(layer, [&](LlamaBlock& block) {
      fold_block(config, block, r_res, read, transform, layer);
    });
  add_online_steps(model, transform);
  change_rows(model.embedding(), [&](const at::Tensor& x) { return rotated(x, r_res); });
  const at::Tensor gain = widened(model.final_norm());
  change_rows(model.lm_head().weight,
              [&](const at::Tensor& x) { return rotated(x * gain, r_res); });
  model.final_norm().fill_(1);
}

void log_partial_hadamard(const std::string& what, std::int64_t n) {
  const HadamardOrder order = hadamard_order(n);
  if (!order.whole())
    log_info(
        fmt::format("{}: no Hadamard matrix of order {} is known, so it is mixed in blocks of {}",
                    what, n, order.power));
}

}  // namespace harness
