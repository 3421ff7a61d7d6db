#include "harness/quant/transform_trainer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <limits>
#include <map>

#include "harness/kernels/ops.h"
#include "harness/kernels/transformer_ops.h"
#include "harness/quant/sites.h"
#include "harness/quant/stiefel.h"
#include "tests/quant/tiny_model.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using test::tiny_config;
using test::tiny_model;
using testing::HasSubstr;

constexpr std::int64_t kLayers = 2;

std::vector<std::pair<std::string, LlamaConfig>> families() {
  LlamaConfig plain = tiny_config(), tied = plain, biases = plain, norms = plain, yarn = plain;
  tied.tie_word_embeddings = true;
  biases.qkv_bias = biases.o_bias = biases.mlp_bias = true;
  norms.qk_norm = true;
  yarn.rope_scaling.type = "yarn";
  yarn.rope_scaling.factor = 4;
  yarn.rope_scaling.original_max_position_embeddings = 16;
  return {{"plain", plain}, {"tied", tied}, {"biases", biases}, {"norms", norms}, {"yarn", yarn}};
}

at::Tensor tokens_of(std::int64_t sequences, std::int64_t length = 12) {
  return at::randint(40, {sequences, length}, at::detail::createCPUGenerator(2), at::kLong);
}

at::Tensor random_rotations(std::vector<std::int64_t> shape, std::uint64_t seed) {
  return std::get<0>(
             at::linalg_qr(at::randn(shape, at::detail::createCPUGenerator(seed), at::kDouble)))
      .contiguous();
}
at::Tensor random_scale(std::vector<std::int64_t> shape, std::uint64_t seed) {
  return (0.3 * at::randn(shape, at::detail::createCPUGenerator(seed), at::kDouble)).exp();
}

/// All of what can be trained, at random; S_qk equal on RoPE's halves unless it is free.
Transform random_transform(const LlamaConfig& config, bool free_qk = false) {
  const std::int64_t d = config.hidden_size, f = config.intermediate_size, e = config.head_dim,
                     h = config.num_key_value_heads;
  Transform t;
  t.r_res = random_rotations({d, d}, 1);
  for (std::uint64_t layer = 0; layer < kLayers; ++layer) {
    const std::uint64_t seed = 100 * (layer + 1);
    t.r_ov.push_back(random_rotations({h, e, e}, seed));
    const at::Tensor half = random_scale({config.qk_norm ? 1 : h, e / 2}, seed + 1);
    const at::Tensor other = random_scale({config.qk_norm ? 1 : h, e / 2}, seed + 2);
    t.s_qk.push_back(at::cat({half, free_qk ? other : half}, -1).flatten());
    t.s_ov.push_back(random_scale({h * e}, seed + 3));
    t.s_up_down.push_back(random_scale({f}, seed + 4));
    t.s_norm_attn.push_back(random_scale({d}, seed + 5));
    t.s_norm_mlp.push_back(random_scale({d}, seed + 6));
  }
  t.online_down = t.online_qk = true;
  return t;
}

/// The trainer's forward pass as it stands.
at::Tensor logits_of(LlamaModel& model, const at::Tensor& tokens, const Transform& transform,
                     const Format& format, bool quantize_weights = false) {
  const Rope rope = model.rope(tokens.size(1));
  at::Tensor x = model.embed(tokens);
  for (std::size_t layer = 0; layer < kLayers; ++layer)
    x = model.apply_block(transformed_block(model.blocks()[layer], model.config(), layer, transform,
                                            format, rope, quantize_weights),
                          x, rope);
  return model.head(rms_norm(x, model.final_norm(), model.config().rms_norm_eps));
}

Format quantized(int a, int kv, int w = 16) {
  Format format;
  format.w.bits = w;
  format.a.bits = format.a_o.bits = format.a_down.bits = a;
  format.k.bits = format.v.bits = kv;
  return format;
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

class Families : public testing::TestWithParam<std::size_t> {
 protected:
  const std::string name_ = families()[GetParam()].first;
  const LlamaConfig config_ = families()[GetParam()].second;
  const at::Tensor tokens_ = tokens_of(2);
  const at::NoGradGuard no_gradients_;
};

TEST_P(Families, WithoutQuantizersItIsTheModel) {
  const auto model = tiny_model(at::kDouble, config_);
  const at::Tensor expected = model->logits(tokens_);
  const Transform transform = random_transform(config_);
  EXPECT_LT(difference(logits_of(*model, tokens_, transform, {}), expected), 1e-9);
  EXPECT_LT(difference(logits_of(*model, tokens_, transform, {}, true), expected), 1e-9);
}

TEST_P(Families, WithQuantizersItIsTheFoldedModel) {
  for (bool free_qk : {false, true}) {
    const auto model = tiny_model(at::kDouble, config_), folded = tiny_model(at::kDouble, config_);
    const Format format = quantized(4, 4);
    const Transform transform = random_transform(config_, free_qk);
    const at::Tensor found = logits_of(*model, tokens_, transform, format);
    EXPECT_GT(difference(found, model->logits(tokens_)), 0.01);  // the quantizers are at work
    fold(*folded, transform);
    install_quantizers(*folded, format);
    EXPECT_LT(difference(found, folded->logits(tokens_)), 1e-9) << "free S_qk: " << free_qk;
  }
}

TEST_P(Families, WithWeightQuantizersItIsTheFoldedAndRoundedModel) {
  const auto model = tiny_model(at::kDouble, config_), folded = tiny_model(at::kDouble, config_);
  const Format format = quantized(4, 4, 4);
  const Transform transform = random_transform(config_);
  const at::Tensor found = logits_of(*model, tokens_, transform, format, true);
  EXPECT_GT(difference(found, logits_of(*model, tokens_, transform, format)), 0.01);
  fold(*folded, transform);
  for (LlamaBlock& block : folded->blocks())
    for (auto& [name, linear] : block.linears())
      linear->weight =
          quantize_weight(linear->weight, format.w, false, name).dequantize(at::kDouble);
  install_quantizers(*folded, format);
  EXPECT_LT(difference(found, folded->logits(tokens_)), 1e-9);
}

INSTANTIATE_TEST_SUITE_P(TransformedBlock, Families, testing::Range<std::size_t>(0, 5),
                         [](const auto& info) { return families()[info.param].first; });

// Each tensor matters where quantizers are: one that was left out would pass the tests above where
// fold() leaves it out too.
TEST(TransformedBlock, EachTensorCounts) {
  const at::NoGradGuard no_gradients;
  const auto model = tiny_model(at::kDouble);
  const at::Tensor tokens = tokens_of(2);
  const Transform all = random_transform(tiny_config());
  const at::Tensor expected = logits_of(*model, tokens, all, quantized(4, 4));
  auto expect_other = [&](const char* name, const std::function<void(Transform&)>& drop) {
    Transform part = all;
    drop(part);
    EXPECT_GT(difference(logits_of(*model, tokens, part, quantized(4, 4)), expected), 1e-3) << name;
  };
  expect_other("r_res", [](Transform& t) { t.r_res = at::Tensor(); });
  expect_other("r_ov", [](Transform& t) { t.r_ov.clear(); });
  expect_other("s_qk", [](Transform& t) { t.s_qk.clear(); });
  expect_other("s_ov", [](Transform& t) { t.s_ov.clear(); });
  expect_other("s_up_down", [](Transform& t) { t.s_up_down.clear(); });
  expect_other("s_norm_attn", [](Transform& t) { t.s_norm_attn.clear(); });
  expect_other("s_norm_mlp", [](Transform& t) { t.s_norm_mlp.clear(); });
  expect_other("online_down", [](Transform& t) { t.online_down = false; });
  expect_other("online_qk", [](Transform& t) { t.online_qk = false; });
}

/// A calibration text, its teacher's targets, and a training of a few steps on it.
struct Setting {
  explicit Setting(at::ScalarType dtype = at::kFloat, const LlamaConfig& config = tiny_config())
      : model(tiny_model(dtype, config)) {
    training.rotation.steps = 12;
    training.rotation.batch = 2;
    DistillationOptions options{.top_k = 10};
    loss = std::make_unique<Distillation>(
        distillation_targets(tokens, *model, nullptr, options, no_progress()), options);
    hooks.curve = [this](const std::string& series, std::int64_t step, double value) {
      curve[series][step] = value;
    };
  }
  Transform start() const { return initial_transform(*model, training.rotation, format, 1); }
  TrainedTransform train() const { return train(*loss); }
  TrainedTransform train(const TrainingLoss& on) const {
    return train_transform(*model, tokens, format, start(), on, training, hooks);
  }

  std::unique_ptr<LlamaModel> model;
  at::Tensor tokens = tokens_of(6);
  Format format = quantized(4, 4);
  TransformTraining training;
  std::unique_ptr<Distillation> loss;
  TransformHooks hooks;
  std::map<std::string, std::map<std::int64_t, double>> curve;
};

std::map<std::string, at::Tensor> tensors_of(const Transform& t) {
  std::map<std::string, at::Tensor> result;
  if (t.r_res.defined()) result["r_res"] = t.r_res;
  auto add = [&](const std::string& name, const std::vector<at::Tensor>& per_layer) {
    for (std::size_t i = 0; i < per_layer.size(); ++i)
      result[fmt::format("{} {}", name, i)] = per_layer[i];
  };
  add("r_ov", t.r_ov);
  add("s_qk", t.s_qk);
  add("s_ov", t.s_ov);
  add("s_up_down", t.s_up_down);
  add("s_norm_attn", t.s_norm_attn);
  add("s_norm_mlp", t.s_norm_mlp);
  return result;
}

void expect_same(const Transform& a, const Transform& b) {
  const auto first = tensors_of(a), second = tensors_of(b);
  ASSERT_EQ(first.size(), second.size());
  for (const auto& [name, tensor] : first) EXPECT_TRUE(at::equal(tensor, second.at(name))) << name;
}

TEST(TransformTrainer, LearnsAndLeavesTheWeights) {
  Setting setting;
  setting.training.rotation.steps = 60;
  const auto before = tiny_model();
  const TrainedTransform trained = setting.train();
  const auto& pull = setting.curve.at("pull");
  ASSERT_EQ(pull.size(), 60u);
  double early = 0, late = 0;
  for (std::int64_t i = 1; i <= 6; ++i) early += pull.at(i), late += pull.at(54 + i);
  EXPECT_LT(late, 0.9 * early);
  EXPECT_EQ(pull, setting.curve.at("loss"));
  EXPECT_TRUE(at::equal(before->logits(setting.tokens), setting.model->logits(setting.tokens)));
  EXPECT_LT(orthogonality_error(trained.transform.r_res), 1e-12);
  for (const auto& [name, tensor] : tensors_of(trained.transform)) {
    EXPECT_EQ(tensor.scalar_type(), at::kDouble);
    EXPECT_FALSE(tensor.requires_grad());
    if (name[0] == 's') {
      EXPECT_GT(difference(tensor, at::ones_like(tensor)), 1e-3) << name;
      EXPECT_GT(tensor.min().item<double>(), 0) << name;
    }
  }
  EXPECT_GT(difference(trained.transform.r_res, setting.start().r_res), 1e-3);
  EXPECT_GT(difference(trained.transform.r_ov[1], setting.start().r_ov[1]), 1e-3);
}

// A step's gradients, gone through block by block and a chunk of tokens at a time, are those of the
// whole graph at once.
TEST(TransformTrainer, GradientNormIsThatOfTheWholeGraph) {
  Setting setting(at::kDouble);
  setting.training.rotation.steps = 1;
  setting.train();
  Transform whole = setting.start();
  std::vector<at::Tensor> leaves;
  auto leaf = [&](at::Tensor values) {
    leaves.push_back(values.detach().clone().set_requires_grad(true));
    return leaves.back();
  };
  whole.r_res = leaf(whole.r_res);
  const LlamaConfig config = tiny_config();
  for (std::size_t layer = 0; layer < kLayers; ++layer) {
    auto ones = [&](std::int64_t n) { return leaf(at::ones({n}, at::kDouble)); };
    whole.r_ov[layer] = leaf(whole.r_ov[layer]);
    whole.s_ov.push_back(ones(32));
    whole.s_up_down.push_back(ones(config.intermediate_size));
    whole.s_norm_attn.push_back(ones(config.hidden_size));
    whole.s_norm_mlp.push_back(ones(config.hidden_size));
    const at::Tensor half = leaf(at::ones({2, 8}, at::kDouble));
    whole.s_qk.push_back(at::cat({half, half}, -1).flatten());
  }
  const at::Tensor logits =
      logits_of(*setting.model, setting.tokens.slice(0, 0, 2), whole, setting.format);
  at::Tensor sums = at::zeros({1}, at::kDouble);
  const at::Tensor by_logits = at::stack({setting.loss->backward(logits[0].detach(), 0, 0, sums),
                                          setting.loss->backward(logits[1].detach(), 1, 0, sums)});
  logits.backward(by_logits / 24);
  double squares = 0;
  for (const at::Tensor& each : leaves) squares += each.grad().square().sum().item<double>();
  EXPECT_NEAR(setting.curve.at("gradient_norm").at(1), std::sqrt(squares), 1e-12);
  EXPECT_NEAR(setting.curve.at("pull").at(1), sums[0].item<double>() / 24, 1e-12);
}

TEST(TransformTrainer, AccumulatedBatchesAreOneLargeBatch) {
  Setting one(at::kDouble), two(at::kDouble);
  one.training.rotation.batch = 4;
  two.training.rotation.accumulate = 2;
  one.training.rotation.steps = two.training.rotation.steps = 3;
  const auto a = tensors_of(one.train().transform), b = tensors_of(two.train().transform);
  for (const auto& [name, tensor] : a) EXPECT_LT(difference(tensor, b.at(name)), 1e-9) << name;
}

TEST(TransformTrainer, EqualTrainingsGiveEqualBits) {
  Setting first, second;
  expect_same(first.train().transform, second.train().transform);
  EXPECT_EQ(first.curve, second.curve);
}

struct Killed {};

TEST(TransformTrainer, AKilledTrainingGoesOnToTheBit) {
  const test::TemporaryFolder folder;
  Setting whole, broken, resumed;
  const TrainedTransform expected = whole.train();
  broken.hooks.state_file = resumed.hooks.state_file = folder / "state.safetensors";
  broken.hooks.state_key = resumed.hooks.state_key = "key";
  broken.hooks.curve = [](const std::string&, std::int64_t step, double) {
    if (step == 8) throw Killed{};
  };
  EXPECT_THROW(broken.train(), Killed);
  const TrainedTransform found = resumed.train();
  expect_same(found.transform, expected.transform);
  EXPECT_EQ(resumed.curve, whole.curve);
  EXPECT_EQ(found.metrics, expected.metrics);
}

TEST(TransformTrainer, AnotherTrainingsStateIsNotUsed) {
  const test::TemporaryFolder folder;
  Setting first, second, fresh;
  first.hooks.state_file = second.hooks.state_file = folder / "state.safetensors";
  first.hooks.state_key = "one";
  second.hooks.state_key = "two";
  first.training.rotation.lr_rotation = 0.1;
  first.train();
  expect_same(second.train().transform, fresh.train().transform);
}

TEST(TransformTrainer, TrainsOnlyWhatStandsBeforeAQuantizer) {
  Setting setting;
  setting.format = quantized(16, 4);
  const auto trained = tensors_of(setting.train().transform);
  EXPECT_LT(difference(trained.at("r_res"), setting.start().r_res), 1e-6);
  EXPECT_GT(difference(trained.at("r_ov 0"), setting.start().r_ov[0]), 1e-3);
  EXPECT_TRUE(trained.count("s_qk 0") && trained.count("s_ov 0"));
  EXPECT_FALSE(trained.count("s_up_down 0") || trained.count("s_norm_attn 0"));
  setting.training.smoothing.smoothing = false;
  for (const auto& [name, tensor] : tensors_of(setting.train().transform)) EXPECT_EQ(name[0], 'r');
}

TEST(TransformTrainer, WeightsAreQuantizedWhereNothingElseIs) {
  Setting setting;
  setting.format = quantized(16, 16, 3);
  EXPECT_TRUE(trains_weight_quant(setting.training.rotation, setting.format));
  setting.training.rotation.steps = 40;
  setting.train();
  EXPECT_GT(setting.curve.at("pull").at(1), 1e-3);
  EXPECT_LT(setting.curve.at("pull").at(40), setting.curve.at("pull").at(1));
}

TEST(TransformTrainer, TiedScalesAreEqualOnTheHalvesAndFreeOnesAreNot) {
  for (const char* kind : {"tied", "free", "none"}) {
    Setting setting;
    setting.training.smoothing.s_qk = kind;
    const Transform t = setting.train().transform;
    if (std::string(kind) == "none") {
      EXPECT_TRUE(t.s_qk.empty());
      continue;
    }
    const std::vector<at::Tensor> halves = t.s_qk[0].view({2, 16}).chunk(2, -1);
    EXPECT_EQ(at::equal(halves[0], halves[1]), std::string(kind) == "tied");
  }
}

TEST(TransformTrainer, SharedNormsHaveOneScaleForAllHeads) {
  LlamaConfig config = tiny_config();
  config.qk_norm = true;
  Setting setting(at::kFloat, config);
  const Transform t = setting.train().transform;
  ASSERT_EQ(t.s_qk.size(), 2u);
  EXPECT_EQ(t.s_qk[0].sizes(), at::IntArrayRef({16}));
  fold(*setting.model, t);  // takes it
}

TEST(TransformTrainer, AnOverflowInTheModelIsDivergence) {
  Setting setting;
  setting.training.smoothing.lr_scale = 3e38;  // K times S is then infinite at the second step
  const std::string text = test::error_of([&] { setting.train(); });
  EXPECT_THAT(text, HasSubstr("diverged at step 2"));
  EXPECT_THAT(text, HasSubstr("layer 0, K"));
  EXPECT_EQ(setting.curve.at("loss").size(), 1u);
}

/// A loss that falls without end: what the first term measures grows.
class Runaway : public TrainingLoss {
 public:
  explicit Runaway(double value) : value_(value) {}
  std::vector<Term> terms() const override { return {{"pull", 1}}; }
  at::Tensor backward(const at::Tensor& logits, std::int64_t, std::int64_t,
                      at::Tensor& sums) const override {
    sums.add_(static_cast<double>(logits.size(0)) * (calls_++ < 4 ? 1.0 : value_));
    return at::ones_like(logits);
  }

 private:
  double value_;
  mutable int calls_ = 0;
};

TEST(TransformTrainer, DivergenceStopsWithItsCurve) {
  Setting grows;
  const std::string text = test::error_of([&] { grows.train(Runaway(9)); });
  EXPECT_THAT(text, HasSubstr("diverged at step"));
  EXPECT_THAT(text, HasSubstr("1 at the start"));
  EXPECT_FALSE(grows.curve.at("pull").count(12));
  EXPECT_EQ(grows.curve.at("pull").at(3), 9);
  Setting not_a_number;
  EXPECT_THROW(not_a_number.train(Runaway(std::numeric_limits<double>::quiet_NaN())),
               TransformDiverged);
  EXPECT_TRUE(std::isnan(not_a_number.curve.at("pull").at(3)));
  Setting bounded;
  bounded.train(Runaway(3));
  EXPECT_TRUE(bounded.curve.at("pull").count(12));
}

TEST(TransformTrainer, NothingToLearnIsAProblem) {
  TransformTraining training;
  auto problems_of = [&](const Format& format) {
    Problems problems;
    check_transform_training(training, format, tiny_config(), "method x", problems);
    return problems.texts();
  };
  EXPECT_THAT(problems_of({}), testing::ElementsAre(HasSubstr("nothing to learn")));
  EXPECT_TRUE(problems_of(quantized(16, 16, 4)).empty());
  EXPECT_TRUE(problems_of(quantized(16, 4)).empty());
  training.rotation.train_weight_quant = false;
  EXPECT_THAT(problems_of(quantized(16, 16, 4)),
              testing::ElementsAre(HasSubstr("train_weight_quant is false")));
  Setting setting;
  setting.format = quantized(16, 16, 4);
  setting.training = training;
  EXPECT_THAT(test::error_of([&] { setting.train(); }), HasSubstr("nothing is quantized"));
}

TEST(TransformTrainer, AModelWithAStepAlreadyIsRefused) {
  Setting setting;
  setting.model->blocks()[1]
      .at(ActivationSite::down_in)
      .push_back({"hadamard", [](const at::Tensor& x) { return x; }});
  EXPECT_THAT(test::error_of([&] { setting.train(); }), HasSubstr("hadamard"));
}

TEST(TransformTrainer, BFloat16TrainsFloat32Masters) {
  Setting setting(at::kBFloat16);
  const TrainedTransform trained = setting.train();
  for (const auto& [series, points] : setting.curve)
    for (const auto& [step, value] : points) EXPECT_TRUE(std::isfinite(value)) << series;
  EXPECT_GT(difference(trained.transform.s_norm_mlp[0], at::ones({32}, at::kDouble)), 1e-3);
}

}  // namespace
}  // namespace harness
