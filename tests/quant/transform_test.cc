#include "harness/quant/transform.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <functional>
#include <map>

#include "harness/kernels/hadamard.h"
#include "harness/model/checkpoint_writer.h"
#include "harness/model/kv_cache.h"
#include "tests/quant/tiny_model.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using test::tiny_config;
using test::tiny_model;
using test::tiny_tokens;
using testing::HasSubstr;

constexpr double kFloat64 = 1e-9, kFloat32 = 1e-4;
// What every wrong fold must do to the logits, which are of the order of 1.
constexpr double kBroken = 1e-3;

LlamaConfig llama_with_biases() {
  LlamaConfig config = tiny_config();
  config.qkv_bias = config.o_bias = config.mlp_bias = true;
  return config;
}

/// Heads and sizes of no power of two, more heads than two a group, and orders that have no
/// Hadamard matrix.
LlamaConfig llama_of_odd_sizes() {
  LlamaConfig config = tiny_config();
  config.hidden_size = 36;
  config.intermediate_size = 56;
  config.num_attention_heads = 9;
  config.num_key_value_heads = 3;
  config.head_dim = 12;
  return config;
}

LlamaConfig family(const std::string& name) {
  LlamaConfig config = tiny_config();
  if (name == "LlamaTied") config.tie_word_embeddings = true;
  if (name == "LlamaWithBiases") config = llama_with_biases();
  if (name == "LlamaOfOddSizes") config = llama_of_odd_sizes();
  if (name == "Mistral") {
    config.architecture = "MistralForCausalLM";
    config.sliding_window = 5;
    config.layer_slides = {true, true};
  }
  if (name == "Qwen2") {
    config.architecture = "Qwen2ForCausalLM";
    config.qkv_bias = true;
    config.tie_word_embeddings = true;
  }
  if (name == "Qwen3") {
    config.architecture = "Qwen3ForCausalLM";
    config.qk_norm = true;
  }
  return config;
}
const std::vector<std::string> kFamilies = {
    "Llama", "LlamaTied", "LlamaWithBiases", "LlamaOfOddSizes", "Mistral", "Qwen2", "Qwen3"};

at::Tensor random(at::IntArrayRef shape, std::uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::kDouble);
}
at::Tensor random_rotation(std::int64_t n, std::uint64_t seed) {
  return std::get<0>(at::linalg_qr(random({n, n}, seed)));
}
at::Tensor random_scale(std::int64_t n, std::uint64_t seed) {
  return (0.5 * random({n}, seed)).exp();
}

/// Equal on RoPE's pairs (i, i + e/2) of each head.
at::Tensor paired(const at::Tensor& scale, std::int64_t head_dim) {
  const at::Tensor halves = scale.view({-1, 2, head_dim / 2});
  return at::stack({halves.select(1, 0), halves.select(1, 0)}, 1).reshape(scale.sizes());
}

Transform everything(const LlamaConfig& config) {
  const std::int64_t d = config.hidden_size, e = config.head_dim;
  const std::int64_t kv_heads = config.num_key_value_heads;
  Transform t;
  t.r_res = random_rotation(d, 100);
  for (std::int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const auto seed = static_cast<std::uint64_t>(1000 * (layer + 1));
    std::vector<at::Tensor> heads;
    for (std::int64_t head = 0; head < kv_heads; ++head)
      heads.push_back(random_rotation(e, seed + static_cast<std::uint64_t>(head)));
    t.r_ov.push_back(at::stack(heads));
    t.s_qk.push_back(paired(random_scale(config.qk_norm ? e : kv_heads * e, seed + 100), e));
    t.s_ov.push_back(random_scale(kv_heads * e, seed + 101));
    t.s_up_down.push_back(random_scale(config.intermediate_size, seed + 102));
    t.s_norm_attn.push_back(random_scale(d, seed + 103));
    t.s_norm_mlp.push_back(random_scale(d, seed + 104));
  }
  t.online_down = t.online_qk = t.online_heads = true;
  return t;
}

/// Copies one part of a transform to another.
struct Part {
  std::string name;
  std::function<void(const Transform& from, Transform& to)> copy;
};
const std::vector<Part>& parts() {
  static const std::vector<Part> all = {
      {"r_res", [](const Transform& from, Transform& to) { to.r_res = from.r_res; }},
      {"r_ov", [](const Transform& from, Transform& to) { to.r_ov = from.r_ov; }},
      {"s_qk", [](const Transform& from, Transform& to) { to.s_qk = from.s_qk; }},
      {"s_ov", [](const Transform& from, Transform& to) { to.s_ov = from.s_ov; }},
      {"s_up_down", [](const Transform& from, Transform& to) { to.s_up_down = from.s_up_down; }},
      {"s_norm_attn",
       [](const Transform& from, Transform& to) { to.s_norm_attn = from.s_norm_attn; }},
      {"s_norm_mlp", [](const Transform& from, Transform& to) { to.s_norm_mlp = from.s_norm_mlp; }},
      {"online_down", [](const Transform&, Transform& to) { to.online_down = true; }},
      {"online_qk", [](const Transform&, Transform& to) { to.online_qk = true; }},
      {"online_heads", [](const Transform&, Transform& to) { to.online_heads = true; }}};
  return all;
}

/// Only the named parts of everything().
Transform only(const LlamaConfig& config, const std::vector<std::string>& names) {
  const Transform all = everything(config);
  Transform result;
  for (const std::string& name : names) {
    const auto part = std::find_if(parts().begin(), parts().end(),
                                   [&](const Part& each) { return each.name == name; });
    EXPECT_NE(part, parts().end()) << name;
    part->copy(all, result);
  }
  return result;
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

std::unique_ptr<LlamaModel> folded(const LlamaConfig& config, const Transform& transform,
                                   at::ScalarType dtype = at::kDouble) {
  auto model = tiny_model(dtype, config);
  fold(*model, transform);
  return model;
}

/// What became of the unquantized model's logits.
double change(const LlamaConfig& config, const LlamaModel& model) {
  return difference(model.logits(tiny_tokens()),
                    tiny_model(model.dtype(), config)->logits(tiny_tokens()));
}

/// Whether weights or sites differ from those of a model whose norms are folded.
bool does_something(LlamaModel& model, const LlamaConfig& config) {
  const auto plain = folded(config, {});
  const auto mine = model.named_tensors(), theirs = plain->named_tensors();
  bool differs = false;
  for (std::size_t i = 0; i < mine.size(); ++i)
    differs = differs || difference(*mine[i].second, *theirs[i].second) > 0.01;
  for (const auto& steps : model.blocks()[0].sites) differs = differs || !steps.empty();
  return differs;
}

class EachFamily : public testing::TestWithParam<std::string> {
 protected:
  const LlamaConfig config_ = family(GetParam());
};

TEST_P(EachFamily, EachTransformAloneKeepsTheFunction) {
  for (const Part& part : parts()) {
    const Transform transform = only(config_, {part.name});
    const auto model = folded(config_, transform);
    EXPECT_LT(change(config_, *model), kFloat64) << part.name;
    EXPECT_TRUE(does_something(*model, config_)) << part.name;
    EXPECT_LT(change(config_, *folded(config_, transform, at::kFloat)), kFloat32) << part.name;
  }
}

TEST_P(EachFamily, AllTransformsTogetherKeepTheFunction) {
  EXPECT_LT(change(config_, *folded(config_, everything(config_))), kFloat64);
  EXPECT_LT(change(config_, *folded(config_, everything(config_), at::kFloat)), kFloat32);
}

TEST_P(EachFamily, FoldedNormsKeepTheFunctionAndHaveGainsOfOne) {
  auto model = tiny_model(at::kDouble, config_);
  fold_norms(*model);
  EXPECT_LT(change(config_, *model), kFloat64);
  EXPECT_FALSE(model->config().tie_word_embeddings);
  EXPECT_FALSE(model->lm_head().weight.is_alias_of(model->embedding()));
  for (LlamaBlock& block : model->blocks())
    for (const at::Tensor& gain : {block.input_norm, block.post_attention_norm})
      EXPECT_TRUE(at::equal(gain, at::ones_like(gain)));
  EXPECT_TRUE(at::equal(model->final_norm(), at::ones_like(model->final_norm())));
}

TEST_P(EachFamily, FoldingNormsBeforehandIsTheSame) {
  auto model = tiny_model(at::kDouble, config_);
  fold_norms(*model);
  fold(*model, everything(config_));
  const auto at_once = folded(config_, everything(config_));
  const auto mine = model->named_tensors(), theirs = at_once->named_tensors();
  ASSERT_EQ(mine.size(), theirs.size());
  for (std::size_t i = 0; i < mine.size(); ++i)
    EXPECT_LT(difference(*mine[i].second, *theirs[i].second), 1e-12) << mine[i].first;
}

TEST_P(EachFamily, SmoothedNormsHaveTheInverseOfSAsGains) {
  const Transform transform = everything(config_);
  auto model = folded(config_, transform);
  for (std::size_t layer = 0; layer < 2; ++layer) {
    LlamaBlock& block = model->blocks()[layer];
    EXPECT_LT(difference(block.input_norm * transform.s_norm_attn[layer],
                         at::ones_like(block.input_norm)),
              1e-15);
    EXPECT_LT(difference(block.post_attention_norm * transform.s_norm_mlp[layer],
                         at::ones_like(block.input_norm)),
              1e-15);
  }
}

TEST_P(EachFamily, CachedPassesGoThroughTheOnlineSteps) {
  const auto model = folded(config_, everything(config_));
  const at::Tensor tokens = tiny_tokens();
  KvCache cache(*model, 2);
  std::vector<at::Tensor> passes;
  std::int64_t begin = 0;
  for (const std::int64_t count : {6, 1, 5}) {
    passes.push_back(model->hidden(tokens.slice(1, begin, begin + count), cache));
    cache.advance({count, count});
    begin += count;
  }
  EXPECT_LT(difference(at::cat(passes, 1), model->hidden(tokens)), kFloat64);
}

// Transforms that are exact one after the other say nothing about what one fold() does with all of
// them in the order of methods.md: here is that order, written down from its table.
TEST_P(EachFamily, WeightsAreThoseOfTheTable) {
  Transform t = everything(config_);
  if (config_.qk_norm)  // S_qk is then in the norms: SqkIsInTheGainsOfQAndKNorms
    t.s_qk.clear();
  const auto model = folded(config_, t), before = tiny_model(at::kDouble, config_);
  const std::int64_t e = config_.head_dim, kv_heads = config_.num_key_value_heads;
  const std::int64_t group = config_.num_attention_heads / kv_heads;
  const at::Tensor across =
      at::kron(hadamard_transform(at::eye(config_.num_attention_heads, at::kDouble)),
               at::eye(e, at::kDouble));
  const at::Tensor h_f = hadamard_transform(at::eye(config_.intermediate_size, at::kDouble));
  for (std::size_t i = 0; i < 2; ++i) {
    LlamaBlock &now = model->blocks()[i], &then = before->blocks()[i];
    const at::Tensor s_qk = config_.qk_norm ? at::ones({kv_heads * e}, at::kDouble) : t.s_qk[i];
    std::vector<at::Tensor> of_kv_heads, of_heads, o_scales, q_scales;
    for (std::int64_t head = 0; head < kv_heads; ++head) {
      of_kv_heads.push_back(t.r_ov[i][head]);
      for (std::int64_t times = 0; times < group; ++times) {
        of_heads.push_back(t.r_ov[i][head]);
        o_scales.push_back(t.s_ov[i].narrow(0, head * e, e));
        q_scales.push_back(s_qk.narrow(0, head * e, e));
      }
    }
    const at::Tensor r_v = at::block_diag(of_kv_heads), r_o = at::block_diag(of_heads);
    const at::Tensor attention =
        then.input_norm.diag().matmul(t.r_res).matmul(t.s_norm_attn[i].diag());
    const at::Tensor mlp =
        then.post_attention_norm.diag().matmul(t.r_res).matmul(t.s_norm_mlp[i].diag());
    auto expect = [](const Linear& found, const at::Tensor& out, const Linear& original,
                     const at::Tensor& in, const char* what) {
      EXPECT_LT(difference(found.weight, out.matmul(original.weight).matmul(in)), 1e-12) << what;
      ASSERT_EQ(found.bias.defined(), original.bias.defined()) << what;
      if (found.bias.defined()) {
        EXPECT_LT(difference(found.bias, out.mv(original.bias)), 1e-12) << what;
      }
    };
    const at::Tensor r_v_t = r_v.t(), r_res_t = t.r_res.t();
    expect(now.q, at::cat(q_scales).reciprocal().diag(), then.q, attention, "q");
    expect(now.k, s_qk.diag(), then.k, attention, "k");
    expect(now.v, r_v_t.matmul(t.s_ov[i].reciprocal().diag()), then.v, attention, "v");
    expect(now.o, r_res_t, then.o, at::cat(o_scales).diag().matmul(r_o).matmul(across), "o");
    expect(now.gate, at::eye(config_.intermediate_size, at::kDouble), then.gate, mlp, "gate");
    expect(now.up, t.s_up_down[i].reciprocal().diag(), then.up, mlp, "up");
    expect(now.down, r_res_t, then.down, t.s_up_down[i].diag().matmul(h_f), "down");
  }
}

INSTANTIATE_TEST_SUITE_P(Transform, EachFamily, testing::ValuesIn(kFamilies),
                         [](const auto& info) { return info.param; });

TEST(Transform, SqkIsInTheGainsOfQAndKNorms) {
  const LlamaConfig config = family("Qwen3");
  const Transform t = only(config, {"s_qk"});
  const auto model = folded(config, t), before = folded(config, {});
  for (std::size_t i = 0; i < 2; ++i) {
    LlamaBlock &now = model->blocks()[i], &then = before->blocks()[i];
    EXPECT_LT(difference(now.k_norm, then.k_norm * t.s_qk[i]), 1e-15);
    EXPECT_LT(difference(now.q_norm, then.q_norm / t.s_qk[i]), 1e-15);
    EXPECT_TRUE(at::equal(now.q.weight, then.q.weight));
    EXPECT_TRUE(at::equal(now.k.weight, then.k.weight));
  }
}

TEST(Transform, SqkThatDiffersOnRopesPairsIsInexact) {
  for (const char* name : {"Llama", "Qwen3"}) {
    const LlamaConfig config = family(name);
    Transform free;
    for (std::int64_t layer = 0; layer < 2; ++layer)
      free.s_qk.push_back(random_scale(everything(config).s_qk[0].numel(), 5));
    EXPECT_GT(change(config, *folded(config, free)), kBroken) << name;
    for (at::Tensor& scale : free.s_qk) scale = paired(scale, config.head_dim);
    EXPECT_LT(change(config, *folded(config, free)), kFloat64) << name;
  }
}

/// A fold that gets one thing wrong, made by hand from correct ones.
struct Mutant {
  std::string name;
  std::string family;
  std::vector<std::string> parts;
  /// Makes it wrong.
  std::function<void(LlamaModel& model, const LlamaConfig& config, const Transform& t)> damage;
};

void scale_rows(Linear& linear, const at::Tensor& scale) {
  linear.weight.mul_(scale.unsqueeze(1));
  if (linear.bias.defined()) linear.bias.mul_(scale);
}

std::int64_t group_of(const LlamaConfig& config) {
  return config.num_attention_heads / config.num_key_value_heads;
}

/// [h_kv * e] as [h * e]: what a kv head has, for each head that reads it.
at::Tensor for_group(const at::Tensor& scale, const LlamaConfig& config) {
  return scale.view({-1, config.head_dim}).repeat_interleave(group_of(config), 0).flatten();
}

const std::vector<Mutant>& mutants() {
  using Config = const LlamaConfig&;
  using T = const Transform&;
  // Those of every block.
  auto each = [](auto damage) {
    return [damage](LlamaModel& model, Config config, T t) {
      for (std::size_t i = 0; i < 2; ++i) damage(model.blocks()[i], i, config, t);
    };
  };
  // Tensors of models that were folded in another way, which may itself be exact.
  auto from = [](auto other, auto pick) {
    return [other, pick](LlamaModel& model, Config config, T t) {
      const std::unique_ptr<LlamaModel> source = other(config, t);
      for (std::size_t i = 0; i < 2; ++i) pick(model.blocks()[i], source->blocks()[i]);
    };
  };
  auto without = [](auto forget) {
    return [forget](Config config, T t) {
      Transform less = t;
      forget(less);
      return folded(config, less);
    };
  };
  using Block = LlamaBlock&;
  static const std::vector<Mutant> all = {
      // S on the wrong side.
      {"s_up_down_multiplies_up",
       "Llama",
       {"s_up_down"},
       each(
           [](Block b, std::size_t i, Config, T t) { scale_rows(b.up, t.s_up_down[i].square()); })},
      {"s_up_down_on_gate", "Llama", {"s_up_down"}, each([](Block b, std::size_t i, Config, T t) {
         scale_rows(b.up, t.s_up_down[i]);
         scale_rows(b.gate, t.s_up_down[i].reciprocal());
       })},
      {"s_ov_multiplies_v", "Llama", {"s_ov"}, each([](Block b, std::size_t i, Config, T t) {
         scale_rows(b.v, t.s_ov[i].square());
       })},
      {"s_qk_multiplies_q", "Llama", {"s_qk"}, each([](Block b, std::size_t i, Config c, T t) {
         scale_rows(b.q, for_group(t.s_qk[i], c).square());
       })},
      {"s_qk_multiplies_the_gain_of_q",
       "Qwen3",
       {"s_qk"},
       each([](Block b, std::size_t i, Config, T t) { b.q_norm.mul_(t.s_qk[i].square()); })},
      {"s_qk_before_the_k_norm", "Qwen3", {"s_qk"}, each([](Block b, std::size_t i, Config c, T t) {
         b.k_norm.div_(t.s_qk[i]);
         scale_rows(b.k, t.s_qk[i].repeat({c.num_key_value_heads}));
       })},
      {"s_norm_attn_multiplies_the_gain",
       "Llama",
       {"s_norm_attn"},
       each([](Block b, std::size_t, Config, T) { b.input_norm.reciprocal_(); })},
      {"s_norm_mlp_multiplies_the_gain",
       "Llama",
       {"s_norm_mlp"},
       each([](Block b, std::size_t, Config, T) { b.post_attention_norm.reciprocal_(); })},
      {"s_norm_mlp_forgets_gate",
       "Llama",
       {"s_norm_mlp"},
       from(without([](Transform& t) { t.s_norm_mlp.clear(); }),
            [](Block b, Block other) { b.gate = other.gate; })},
      {"r_res_transposed_in_o",
       "Llama",
       {"r_res"},
       from([](Config c, T t) { return folded(c, {.r_res = t.r_res.t().contiguous()}); },
            [](Block b, Block other) { b.o = other.o; })},
      {"r_res_transposed_in_up",
       "Llama",
       {"r_res"},
       from([](Config c, T t) { return folded(c, {.r_res = t.r_res.t().contiguous()}); },
            [](Block b, Block other) { b.up = other.up; })},
      {"r_ov_transposed_in_v",
       "Llama",
       {"r_ov"},
       from(
           [](Config c, T t) {
             Transform inverse;
             for (const at::Tensor& r : t.r_ov)
               inverse.r_ov.push_back(r.transpose(1, 2).contiguous());
             return folded(c, inverse);
           },
           [](Block b, Block other) { b.v = other.v; })},
      // Another order on one side: each of these is exact where both sides have it.
      {"r_ov_before_s_ov_in_o",
       "Llama",
       {"r_ov", "s_ov"},
       from(
           [](Config c, T t) {
             auto model = folded(c, {.r_ov = t.r_ov});
             fold(*model, {.s_ov = t.s_ov});
             return model;
           },
           [](Block b, Block other) { b.o = other.o; })},
      {"r_ov_before_s_ov_in_v",
       "Llama",
       {"r_ov", "s_ov"},
       from(
           [](Config c, T t) {
             auto model = folded(c, {.r_ov = t.r_ov});
             fold(*model, {.s_ov = t.s_ov});
             return model;
           },
           [](Block b, Block other) { b.v = other.v; })},
      {"s_norm_before_r_res",
       "Llama",
       {"r_res", "s_norm_attn"},
       each([](Block b, std::size_t i, Config, T t) {
         // W R S as W S R, from behind.
         for (Linear* linear : {&b.q, &b.k, &b.v}) {
           const at::Tensor plain = (linear->weight / t.s_norm_attn[i]).matmul(t.r_res.t());
           linear->weight = (plain * t.s_norm_attn[i]).matmul(t.r_res);
         }
       })},
      {"s_up_down_after_h_f",
       "Llama",
       {"s_up_down", "online_down"},
       each([](Block b, std::size_t i, Config, T t) {
         const at::Tensor plain = hadamard_transform(b.down.weight, 1, true) / t.s_up_down[i];
         b.down.weight = hadamard_transform(plain) * t.s_up_down[i];
       })},
      {"heads_mixed_before_r_ov",
       "Llama",
       {"r_ov", "online_heads"},
       from(
           [](Config c, T t) {
             auto model = folded(c, {});
             for (std::size_t i = 0; i < 2; ++i) {
               at::Tensor& w = model->blocks()[i].o.weight;
               const at::Tensor mixed = hadamard_transform(w, c.head_dim);
               const at::Tensor r = t.r_ov[i].repeat_interleave(group_of(c), 0);
               w = mixed.view({-1, c.num_attention_heads, 1, c.head_dim})
                       .matmul(r)
                       .reshape(w.sizes());
             }
             return model;
           },
           [](Block b, Block other) { b.o = other.o; })},
      // The repetition over the group: heads 0, 1, 0, 1 for 0, 0, 1, 1.
      {"s_ov_tiled", "Llama", {"s_ov"}, each([](Block b, std::size_t i, Config c, T t) {
         b.o.weight = b.o.weight / for_group(t.s_ov[i], c) * t.s_ov[i].repeat({group_of(c)});
       })},
      {"s_qk_tiled", "Llama", {"s_qk"}, each([](Block b, std::size_t i, Config c, T t) {
         scale_rows(b.q, for_group(t.s_qk[i], c) / t.s_qk[i].repeat({group_of(c)}));
       })},
      {"r_ov_tiled",
       "Llama",
       {"r_ov"},
       from(
           [](Config c, T t) {
             auto model = folded(c, {});
             for (std::size_t i = 0; i < 2; ++i) {
               at::Tensor& w = model->blocks()[i].o.weight;
               w = w.view({-1, c.num_attention_heads, 1, c.head_dim})
                       .matmul(t.r_ov[i].repeat({group_of(c), 1, 1}))
                       .reshape(w.sizes());
             }
             return model;
           },
           [](Block b, Block other) { b.o = other.o; })},
      // What was forgotten.
      {"norm_gains_left_in_v",
       "Llama",
       {},
       from([](Config c, T) { return tiny_model(at::kDouble, c); },
            [](Block b, Block other) { b.v = other.v; })},
      {"gain_after_r_res",
       "Llama",
       {"r_res"},
       [](LlamaModel& model, Config c, T t) {
         const auto plain = tiny_model(at::kDouble, c);
         model.lm_head().weight = plain->lm_head().weight.matmul(t.r_res) * plain->final_norm();
       }},
      {"embedding_unrotated",
       "LlamaTied",
       {"r_res"},
       [](LlamaModel& model, Config c, T) {
         model.embedding() = tiny_model(at::kDouble, c)->embedding();
       }},
      {"head_still_tied",
       "LlamaTied",
       {"r_res"},
       [](LlamaModel& model, Config, T) { model.lm_head().weight = model.embedding(); }},
      {"bias_of_o_unrotated",
       "LlamaWithBiases",
       {"r_res"},
       from([](Config c, T) { return folded(c, {}); },
            [](Block b, Block other) { b.o.bias = other.o.bias; })},
      {"bias_of_down_unrotated",
       "LlamaWithBiases",
       {"r_res"},
       from([](Config c, T) { return folded(c, {}); },
            [](Block b, Block other) { b.down.bias = other.down.bias; })},
      {"bias_of_v_unscaled",
       "Qwen2",
       {"s_ov"},
       from([](Config c, T) { return folded(c, {}); },
            [](Block b, Block other) { b.v.bias = other.v.bias; })},
      {"bias_of_v_unrotated",
       "Qwen2",
       {"r_ov"},
       from([](Config c, T) { return folded(c, {}); },
            [](Block b, Block other) { b.v.bias = other.v.bias; })},
      {"bias_of_q_unscaled",
       "Qwen2",
       {"s_qk"},
       from([](Config c, T) { return folded(c, {}); },
            [](Block b, Block other) { b.q.bias = other.q.bias; })},
      {"bias_of_up_unscaled",
       "LlamaWithBiases",
       {"s_up_down"},
       from([](Config c, T) { return folded(c, {}); },
            [](Block b, Block other) { b.up.bias = other.up.bias; })},
      {"h_f_not_in_down",
       "Llama",
       {"online_down"},
       from([](Config c, T) { return folded(c, {}); },
            [](Block b, Block other) { b.down = other.down; })},
      {"h_f_transposed_in_down",
       "Llama",
       {"online_down"},
       from([](Config c, T) { return folded(c, {}); },
            [](Block b, Block other) {
              b.down.weight = hadamard_transform(other.down.weight, 1, true);
            })},
      {"h_h_not_in_o",
       "Llama",
       {"online_heads"},
       from([](Config c, T) { return folded(c, {}); },
            [](Block b, Block other) { b.o = other.o; })},
      {"h_h_within_heads",
       "Llama",
       {"online_heads"},
       from([](Config c, T) { return folded(c, {}); },
            [](Block b, Block other) {
              b.o.weight =
                  hadamard_transform(
                      other.o.weight.view({-1, 4, 16}).transpose(1, 2).reshape({-1, 64}), 16)
                      .view({-1, 16, 4})
                      .transpose(1, 2)
                      .reshape({-1, 64});
            })},
      {"h_e_on_q_only", "Llama", {"online_qk"}, each([](Block b, std::size_t, Config, T) {
         b.at(ActivationSite::k).clear();
       })},
  };
  return all;
}

class EachMutant : public testing::TestWithParam<std::size_t> {};

TEST_P(EachMutant, ChangesTheFunction) {
  const Mutant& mutant = mutants()[GetParam()];
  const LlamaConfig config = family(mutant.family);
  const Transform transform = only(config, mutant.parts);
  const auto model = folded(config, transform);
  ASSERT_LT(change(config, *model), kFloat64);
  mutant.damage(*model, config, transform);
  EXPECT_GT(change(config, *model), kBroken);
}

INSTANTIATE_TEST_SUITE_P(Transform, EachMutant, testing::Range<std::size_t>(0, mutants().size()),
                         [](const auto& info) { return mutants()[info.param].name; });

TEST(Transform, WeightsAreRoundedOnce) {
  const LlamaConfig config = family("LlamaWithBiases");
  const auto narrow = tiny_model(at::kBFloat16, config), wide = tiny_model(at::kDouble, config);
  const auto narrow_tensors = narrow->named_tensors(), wide_tensors = wide->named_tensors();
  for (std::size_t i = 0; i < wide_tensors.size(); ++i)
    wide_tensors[i].second->copy_(*narrow_tensors[i].second);
  fold(*narrow, everything(config));
  fold(*wide, everything(config));
  for (std::size_t i = 0; i < wide_tensors.size(); ++i)
    EXPECT_TRUE(at::equal(*narrow_tensors[i].second, wide_tensors[i].second->to(at::kBFloat16)))
        << wide_tensors[i].first;
}

TEST(Transform, FoldedModelIsACheckpointWhereNothingIsOnline) {
  LlamaConfig config = family("LlamaTied");
  Transform transform = everything(config);
  transform.online_down = transform.online_heads = transform.online_qk = false;
  const auto model = folded(config, transform, at::kFloat);
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, tensor] : model->named_tensors()) tensors[name] = *tensor;
  EXPECT_EQ(tensors.count("lm_head.weight"), 1u);
  const test::TemporaryFolder folder;
  save_checkpoint_folder(folder.path(), model->config(), tensors, {});
  const auto checkpoint = open_checkpoint(folder.path().string());
  EXPECT_FALSE(checkpoint->config().tie_word_embeddings);
  const auto loaded = LlamaModel::load(*checkpoint, at::kFloat, at::kCPU);
  EXPECT_TRUE(at::equal(loaded->logits(tiny_tokens()), model->logits(tiny_tokens())));
}

TEST(Transform, OnlineStepsComeBeforeWhatIsAddedLater) {
  const auto model = folded(tiny_config(), everything(tiny_config()));
  LlamaBlock& block = model->blocks()[1];
  EXPECT_EQ(block.at(ActivationSite::q).size(), 1u);
  EXPECT_EQ(block.at(ActivationSite::k).size(), 1u);
  EXPECT_EQ(block.at(ActivationSite::o_in).size(), 1u);
  EXPECT_EQ(block.at(ActivationSite::down_in).size(), 1u);
  EXPECT_TRUE(block.at(ActivationSite::attention_in).empty());
  EXPECT_TRUE(block.at(ActivationSite::v).empty());
}

TEST(Transform, ShapesOfAnotherModelAreErrors) {
  const auto model = tiny_model(at::kDouble);
  Transform transform;
  transform.r_res = at::eye(16, at::kDouble);
  EXPECT_THAT(test::error_of([&] { fold(*model, transform); }),
              testing::AllOf(HasSubstr("r_res"), HasSubstr("[16, 16]"), HasSubstr("[32, 32]")));
  transform = {};
  transform.s_ov = {at::ones({32}, at::kDouble)};
  EXPECT_THAT(test::error_of([&] { fold(*model, transform); }),
              testing::AllOf(HasSubstr("s_ov"), HasSubstr("1 layers")));
  transform = {};
  transform.r_res = at::eye(32, at::kFloat);
  EXPECT_THAT(test::error_of([&] { fold(*model, transform); }), HasSubstr("float64"));
}

}  // namespace
}  // namespace harness
