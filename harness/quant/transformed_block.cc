#include <ATen/ATen.h>

#include <cassert>

#include "harness/kernels/hadamard.h"
#include "harness/kernels/straight_through.h"
#include "harness/quant/sites.h"
#include "harness/quant/transform_trainer.h"
#include "harness/quant/wide.h"

namespace harness {
namespace {

/// What a channel scale before RoPE is after it: diag(s1, s2) of a pair between the rotation by its
/// angle and back is m I + (s1 - s2) / 2 [[cos 2a, sin 2a], [sin 2a, -cos 2a]], m their mean.
/// @param x     [batch, heads, tokens, e]
/// @param scale [heads or 1, 1, e]
at::Tensor scaled_before_rope(const at::Tensor& x, const at::Tensor& scale, const Rope& rope) {
  const at::Tensor radius = rope.cos.square() + rope.sin.square();  // yarn's is not 1
  const at::Tensor cos = (rope.cos.square() - rope.sin.square()) / radius;
  const at::Tensor sin = 2 * rope.cos * rope.sin / radius;
  const std::vector<at::Tensor> s = scale.chunk(2, -1), pair = x.to(wide_type(x)).chunk(2, -1);
  const at::Tensor mean = (s[0] + s[1]) / 2, half = (s[0] - s[1]) / 2;
  return at::cat({pair[0] * (mean + half * cos) + pair[1] * (half * sin),
                  pair[1] * (mean - half * cos) + pair[0] * (half * sin)},
                 -1)
      .to(x.scalar_type());
}

/// A layer's tensors, shaped for the activations that they meet.
struct Layer {
  Layer(const Transform& t, const LlamaConfig& config, std::size_t layer)
      : kv_heads(config.num_key_value_heads),
        group(config.num_attention_heads / config.num_key_value_heads),
        e(config.head_dim),
        r_res(t.r_res),
        r_ov(of(t.r_ov, layer)),
        s_norm_attn(of(t.s_norm_attn, layer)),
        s_norm_mlp(of(t.s_norm_mlp, layer)),
        s_up_down(of(t.s_up_down, layer)),
        s_qk(of(t.s_qk, layer)),
        s_ov(of(t.s_ov, layer)) {
    if (s_qk.defined()) s_qk = s_qk.view({-1, 1, e});
    if (s_ov.defined()) s_ov = s_ov.view({kv_heads, 1, e});
  }

  static at::Tensor of(const std::vector<at::Tensor>& per_layer, std::size_t layer) {
    return per_layer.empty() ? at::Tensor() : per_layer[layer];
  }
  /// s_qk as Q's heads see it: [heads or 1, 1, e].
  at::Tensor s_q() const { return s_qk.size(0) == 1 ? s_qk : s_qk.repeat_interleave(group, 0); }
  /// o's inputs [..., heads * e] as [..., kv heads, group, e], and back.
  at::Tensor heads(const at::Tensor& x) const {
    std::vector<std::int64_t> shape = x.sizes().vec();
    shape.back() = kv_heads;
    shape.insert(shape.end(), {group, e});
    return x.reshape(shape);
  }

  std::int64_t kv_heads, group, e;
  at::Tensor r_res, r_ov, s_norm_attn, s_norm_mlp, s_up_down, s_qk, s_ov;
};

/// The weights as fold() makes them, quantized, with gradients for the transform. What leaves o and
/// down is turned back: the residual stream stays as it is.
class FoldedWeights {
 public:
  FoldedWeights(const Layer& layer, const Transform& transform, const Format& format,
                std::size_t number)
      : t_(layer), transform_(transform), format_(format), number_(number) {}

  void put_into(LlamaBlock& block, const at::Tensor& attention_gain, const at::Tensor& mlp_gain) {
    const at::Tensor s_ov_rows = t_.s_ov.defined() ? t_.s_ov.flatten() : t_.s_ov;
    auto from_norm = [&](const at::Tensor& weight, const at::Tensor& gain, const at::Tensor& s) {
      return scaled(rotated(wide(weight) * wide(gain), t_.r_res), s);
    };
    for (auto& [name, linear] : block.linears()) {
      const at::Tensor w = linear->weight;
      at::Tensor folded;
      if (name == "self_attn.q_proj" || name == "self_attn.k_proj") {
        folded = from_norm(w, attention_gain, t_.s_norm_attn);  // rows keep S_qk for the site
      } else if (name == "self_attn.v_proj") {
        folded = value_rows(from_norm(w, attention_gain, t_.s_norm_attn), s_ov_rows);
        if (linear->bias.defined())
          linear->bias = value_rows(wide(linear->bias).unsqueeze(-1), s_ov_rows)
                             .squeeze(-1)
                             .to(linear->bias.scalar_type());
      } else if (name == "self_attn.o_proj") {
        const at::Tensor by_head = scaled(t_.heads(wide(w)), t_.s_ov);
        folded = residual_rows(rotated(by_head, t_.r_ov).reshape(w.sizes()));
      } else if (name == "mlp.gate_proj") {
        folded = from_norm(w, mlp_gain, t_.s_norm_mlp);
      } else if (name == "mlp.up_proj") {
        folded = by_rows(from_norm(w, mlp_gain, t_.s_norm_mlp), t_.s_up_down);
        if (linear->bias.defined()) linear->bias = unscaled(linear->bias, t_.s_up_down);
      } else {
        const at::Tensor columns = scaled(wide(w), t_.s_up_down);
        folded = residual_rows(transform_.online_down ? hadamard_transform(columns) : columns);
      }
      const std::string full = "model.layers." + std::to_string(number_) + "." + name;
      const QuantSpec spec = format_.at(Site::w, static_cast<int>(number_), full);
      at::Tensor quantized =
          quantize_weight_straight_through(folded.to(w.scalar_type()), spec, full + ".weight");
      const bool out = name == "self_attn.o_proj" || name == "mlp.down_proj";
      linear->weight =
          out && t_.r_res.defined() ? t_.r_res.to(w.scalar_type()).matmul(quantized) : quantized;
    }
  }

 private:
  static at::Tensor wide(const at::Tensor& x) { return x.to(wide_type(x)); }
  static at::Tensor by_rows(const at::Tensor& w, const at::Tensor& s) {
    return s.defined() ? w / s.unsqueeze(-1) : w;
  }
  at::Tensor residual_rows(const at::Tensor& w) const {
    return t_.r_res.defined() ? t_.r_res.to(w.scalar_type()).mT().matmul(w) : w;
  }
  at::Tensor value_rows(const at::Tensor& w, const at::Tensor& s) const {
    const at::Tensor rows = by_rows(w, s);
    if (!t_.r_ov.defined()) return rows;
    return t_.r_ov.to(w.scalar_type())
        .mT()
        .matmul(rows.view({t_.kv_heads, t_.e, -1}))
        .reshape(rows.sizes());
  }

  const Layer& t_;
  const Transform& transform_;
  const Format& format_;
  std::size_t number_;
};

}  // namespace

LlamaBlock transformed_block(const LlamaBlock& plain, const LlamaConfig& config, std::size_t layer,
                             const Transform& transform, const Format& format, const Rope& rope,
                             bool quantize_weights) {
  assert(!transform.online_heads);
  const auto number = static_cast<std::int64_t>(layer);
  LlamaBlock block = plain;
  const Layer t(transform, config, layer);
  const bool online_down = transform.online_down, online_qk = transform.online_qk;

  auto quantizer = [&](ActivationSite place) {
    return [spec = activation_spec(format, config, place, number),
            what = activation_name(place, number)](const at::Tensor& x) {
      return fake_quantize_straight_through(x, spec, what);
    };
  };
  auto add = [&](ActivationSite place, std::function<at::Tensor(const at::Tensor&)> step) {
    block.at(place).push_back({"transform", std::move(step)});
  };
  // After a norm without its gain, into the basis of R / S; back, with the gain, where the weight
  // is not folded.
  auto add_norm = [&](ActivationSite place, at::Tensor& norm, const at::Tensor& s) {
    const at::Tensor gain = norm;
    norm = at::ones_like(gain);
    add(place, [=, r = t.r_res, quantize = quantizer(place)](const at::Tensor& x) {
      const at::Tensor quantized = quantize(unscaled(rotated(x, r), s));
      return quantize_weights ? quantized : unrotated(scaled(quantized, s), r) * gain;
    });
    return gain;
  };
  const at::Tensor attention_gain =
      add_norm(ActivationSite::attention_in, block.input_norm, t.s_norm_attn);
  const at::Tensor mlp_gain =
      add_norm(ActivationSite::mlp_in, block.post_attention_norm, t.s_norm_mlp);

  add(ActivationSite::q, [=](const at::Tensor& x) {
    const at::Tensor q = t.s_qk.defined() ? scaled_before_rope(x, 1 / t.s_q(), rope) : x;
    return online_qk ? hadamard_transform(q) : q;
  });
  add(ActivationSite::k, [=, quantize = quantizer(ActivationSite::k)](const at::Tensor& x) {
    const at::Tensor k = t.s_qk.defined() ? scaled_before_rope(x, t.s_qk, rope) : x;
    return quantize(online_qk ? hadamard_transform(k) : k);
  });
  // Attention mixes whole vectors of V, so that they stay in their basis up to o.
  add(ActivationSite::v, [=, quantize = quantizer(ActivationSite::v)](const at::Tensor& x) {
    return quantize(quantize_weights ? x : rotated(unscaled(x, t.s_ov), t.r_ov));
  });
  add(ActivationSite::o_in, [=, quantize = quantizer(ActivationSite::o_in)](const at::Tensor& x) {
    const at::Tensor quantized = quantize(x);
    if (quantize_weights) return quantized;
    return scaled(unrotated(t.heads(quantized), t.r_ov), t.s_ov).reshape(x.sizes());
  });
  add(ActivationSite::down_in, [=, quantize =
                                       quantizer(ActivationSite::down_in)](const at::Tensor& x) {
    const at::Tensor basis = quantize_weights ? x : unscaled(x, t.s_up_down);
    const at::Tensor quantized = quantize(online_down ? hadamard_transform(basis) : basis);
    if (quantize_weights) return quantized;
    return scaled(online_down ? hadamard_transform(quantized, 1, /*transposed=*/true) : quantized,
                  t.s_up_down);
  });
  if (quantize_weights)
    FoldedWeights(t, transform, format, layer).put_into(block, attention_gain, mlp_gain);
  return block;
}

}  // namespace harness
