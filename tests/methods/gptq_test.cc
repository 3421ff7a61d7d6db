#include "harness/quant/gptq.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <limits>

#include "harness/plugin/plugins.h"
#include "tests/methods/method_support.h"
#include "tests/quant/tiny_model.h"
#include "tests/support/support.h"

void register_gptq(harness::Plugins& plugins);

namespace harness {
namespace {

using test::tiny_config;
using test::tiny_model;
using test::tiny_tokens;
using testing::HasSubstr;

/// More sequences of 12 tokens than one pass takes (4096 tokens).
at::Tensor calibration_tokens() { return test::random_calibration(400); }

std::unique_ptr<Method> make_gptq(Value::Table options, Problems& problems) {
  Plugins plugins;
  register_gptq(plugins);
  return plugins.methods.get("gptq").build(Value(std::move(options)), problems);
}

Format weights(int bits, std::int64_t group = 0, bool symmetric = true) {
  Format format;
  format.w = {bits, group, symmetric, 1.0};
  return format;
}

void apply_gptq(LlamaModel& model, const Format& format, Value::Table options = {},
                MethodRecord& record = no_record()) {
  Problems problems;
  const auto method = make_gptq(std::move(options), problems);
  problems.throw_if_any();
  test::NoReferences references;
  test::FixedCalibration calibration(calibration_tokens());
  MethodContext context{model, format, references, &calibration, 0, no_progress(), record};
  method->apply(context);
}

/// A step that mixes the input of down, as an online Hadamard does.
void mix_down_in(LlamaModel& model) {
  const at::Tensor mixing =
      at::randn({48, 48}, at::detail::createCPUGenerator(6), at::kDouble) / 4.0;
  for (LlamaBlock& block : model.blocks())
    block.at(ActivationSite::down_in).push_back({"mix", [mixing](const at::Tensor& x) {
                                                   return x.matmul(mixing.to(x.scalar_type()));
                                                 }});
}

enum class When { before_steps, after_steps };

/// (2 / n) X^T X of what passes a site while the whole model runs on all sequences at once.
at::Tensor recorded_hessian(LlamaModel& model, std::size_t layer, ActivationSite site,
                            When when = When::after_steps) {
  std::vector<SiteStep>& steps = model.blocks()[layer].at(site);
  const std::vector<SiteStep> as_they_were = steps;
  at::Tensor seen;
  const SiteStep record{"record", [&](const at::Tensor& x) {
                          seen = x.reshape({-1, x.size(-1)}).clone();
                          return x;
                        }};
  steps.insert(when == When::before_steps ? steps.begin() : steps.end(), record);
  const at::Tensor tokens = calibration_tokens();
  model.hidden(tokens);
  model.blocks()[layer].at(site) = as_they_were;
  return seen.t().matmul(seen) * (2.0 / static_cast<double>(tokens.size(0)));
}

struct Part {
  std::size_t index;  // of LlamaBlock::linears()
  ActivationSite input;
  std::size_t first_of_step;
};
constexpr Part kParts[] = {
    {0, ActivationSite::attention_in, 0}, {1, ActivationSite::attention_in, 0},
    {2, ActivationSite::attention_in, 0}, {3, ActivationSite::o_in, 3},
    {4, ActivationSite::mlp_in, 4},       {5, ActivationSite::mlp_in, 4},
    {6, ActivationSite::down_in, 6}};

at::Tensor quantized(const at::Tensor& weight, const at::Tensor& hessian, const Format& format) {
  return gptq(weight, factor_hessian(hessian, {}, "H"), format.w, {}, "w")
      .weight.dequantize(weight.scalar_type());
}

bool same(const at::Tensor& a, const at::Tensor& b) { return at::allclose(a, b, 1e-9, 1e-12); }

// In float64, where sums in another order do not move a value over a quantizer's step.
TEST(GptqMethod, EachStepSeesWhatTheQuantizedModelMakesOfTheText) {
  const Format format = weights(3, 16);
  const auto found = tiny_model(at::kDouble), plain = tiny_model(at::kDouble),
             partial = tiny_model(at::kDouble), stale = tiny_model(at::kDouble);
  for (LlamaModel* model : {found.get(), plain.get(), partial.get(), stale.get()})
    mix_down_in(*model);
  apply_gptq(*found, format);

  for (std::size_t layer = 0; layer < 2; ++layer) {
    for (const Part& part : kParts) {
      if (part.index == part.first_of_step) {
        // `partial` then holds what was quantized before this step, `stale` only the blocks before.
        for (std::size_t i = 0; i < part.first_of_step; ++i)
          partial->blocks()[layer].linears()[i].second->weight =
              found->blocks()[layer].linears()[i].second->weight;
      }
      const auto [name, linear] = found->blocks()[layer].linears()[part.index];
      const at::Tensor weight = plain->blocks()[layer].linears()[part.index].second->weight;
      auto from = [&](LlamaModel& model, ActivationSite site, When when = When::after_steps) {
        return quantized(weight, recorded_hessian(model, layer, site, when), format);
      };
      EXPECT_TRUE(same(linear->weight, from(*partial, part.input))) << layer << " " << name;

      // What must not pass for it: stale inputs, another site's, those before an online step.
      auto expect_other = [&](bool applies, LlamaModel& model, ActivationSite site,
                              When when = When::after_steps) {
        if (!applies) return;
        EXPECT_FALSE(same(linear->weight, from(model, site, when)))
            << layer << " " << name << " from " << activation_site_name(site);
      };
      expect_other(layer > 0 || part.first_of_step > 0, *plain, part.input);
      expect_other(part.first_of_step > 0, *stale, part.input);
      expect_other(part.input == ActivationSite::mlp_in, *partial, ActivationSite::attention_in);
      expect_other(part.input == ActivationSite::attention_in, *partial, ActivationSite::mlp_in);
      expect_other(part.input == ActivationSite::down_in, *partial, part.input, When::before_steps);
    }
    partial->blocks()[layer].down.weight = found->blocks()[layer].down.weight;
    stale->blocks()[layer] = found->blocks()[layer];
  }
}

TEST(GptqMethod, RecordsEachWeightsAndEachOutputsSignalOverItsError) {
  const auto model = tiny_model(), plain = tiny_model();
  test::Recorded record;
  apply_gptq(*model, weights(4), {}, record);
  EXPECT_EQ(record.curves.size(), 14u);
  const at::Tensor w = plain->blocks()[0].k.weight, error = w - model->blocks()[0].k.weight;
  const double squares = w.to(at::kDouble).square().sum().item<double>();
  EXPECT_NEAR(record.curves.at("weight_snr_db/self_attn.k_proj").at(0),
              10 * std::log10(squares / error.to(at::kDouble).square().sum().item<double>()), 1e-6);
  const at::Tensor hessian = recorded_hessian(*plain, 0, ActivationSite::attention_in);
  EXPECT_NEAR(record.curves.at("output_snr_db/self_attn.k_proj").at(0),
              10 * std::log10(squared_output(hessian, w) / squared_output(hessian, error)), 1e-3);
}

// Twelve tokens leave H without a Cholesky factor in float32 until the damping is large enough.
TEST(GptqMethod, DampingThatIsRaisedIsRecorded) {
  auto apply = [](double damping, MethodRecord& record) {
    Problems problems;
    const auto method = make_gptq({{"damping", Value(damping)}}, problems);
    test::NoReferences references;
    test::FixedCalibration calibration(test::random_calibration(1));
    const auto model = tiny_model();
    const Format format = weights(4);
    MethodContext context{*model, format, references, &calibration, 0, no_progress(), record};
    method->apply(context);
  };
  auto curves = [&](double damping) {
    test::Recorded record;
    apply(damping, record);
    std::map<std::string, double> raised;
    for (const auto& [series, points] : record.curves)
      if (series.starts_with("damping/")) raised[series] = points.begin()->second;
    return raised;
  };
  EXPECT_THAT(curves(0.01), testing::IsEmpty());
  EXPECT_THAT(curves(1e-7),
              testing::Contains(testing::Pair(
                  "damping/mlp.down_proj", testing::AllOf(testing::Ge(1e-6), testing::Le(1e-4)))));
  EXPECT_THAT(test::error_of([&] { curves(1e-9); }), HasSubstr("no Cholesky factor"));
}

TEST(GptqMethod, EveryLinearsOutputErrorIsBelowRoundToNearests) {
  for (int bits : {3, 4}) {
    const Format format = weights(bits);
    const auto found = tiny_model(), plain = tiny_model();
    apply_gptq(*found, format);
    for (std::size_t layer = 0; layer < 2; ++layer) {
      for (const Part& part : kParts) {
        const at::Tensor hessian = recorded_hessian(*found, layer, part.input);
        const auto [name, linear] = found->blocks()[layer].linears()[part.index];
        const at::Tensor weight = plain->blocks()[layer].linears()[part.index].second->weight;
        const at::Tensor nearest =
            quantize_weight(weight, format.w, true, "w").dequantize(at::kFloat);
        EXPECT_LT(squared_output(hessian, weight - linear->weight),
                  squared_output(hessian, weight - nearest))
            << bits << " bits, layer " << layer << ", " << name;
      }
    }
  }
}

TEST(GptqMethod, OptionsReachTheRoutine) {
  const auto hessian_model = tiny_model(at::kDouble);
  const at::Tensor hessian = recorded_hessian(*hessian_model, 0, ActivationSite::attention_in);
  const at::Tensor weight = hessian_model->blocks()[0].q.weight;
  const Format format = weights(3, 8);
  struct {
    const char* name;
    Value value;
    GptqOptions options;
  } const cases[] = {{"mse_clip", Value(false), {.mse_clip = false}},
                     {"damping", Value(0.5), {.damping = 0.5}},
                     {"act_order", Value(true), {.act_order = true}},
                     {"static_groups", Value(true), {.static_groups = true}}};
  const at::Tensor by_default = quantized(weight, hessian, format);
  for (const auto& each : cases) {
    const auto model = tiny_model(at::kDouble);
    apply_gptq(*model, format, {{each.name, each.value}});
    const at::Tensor expected =
        gptq(weight, factor_hessian(hessian, each.options, "H"), format.w, each.options, "w")
            .weight.dequantize(at::kDouble);
    EXPECT_TRUE(same(model->blocks()[0].q.weight, expected)) << each.name;
    EXPECT_FALSE(same(model->blocks()[0].q.weight, by_default)) << each.name;
  }
}

TEST(GptqMethod, BiasesNormsEmbeddingAndSitesStayAsTheyAre) {
  LlamaConfig config = tiny_config();
  config.qkv_bias = config.o_bias = true;
  const auto model = tiny_model(at::kFloat, config), plain = tiny_model(at::kFloat, config);
  mix_down_in(*model);
  apply_gptq(*model, weights(4));
  const auto after = model->named_tensors(), before = plain->named_tensors();
  ASSERT_EQ(after.size(), before.size());
  std::size_t changed = 0;
  for (std::size_t i = 0; i < after.size(); ++i) {
    const bool is_linear = after[i].first.find("proj.weight") != std::string::npos;
    EXPECT_EQ(at::equal(*after[i].second, *before[i].second), !is_linear) << after[i].first;
    changed += is_linear;
  }
  EXPECT_EQ(changed, 14u);
  for (LlamaBlock& block : model->blocks())
    for (std::size_t site = 0; site < block.sites.size(); ++site)
      EXPECT_EQ(block.sites[site].size(),
                site == static_cast<std::size_t>(ActivationSite::down_in) ? 1u : 0u);
}

TEST(GptqMethod, SixteenBitsChangeNothing) {
  const auto model = tiny_model(), plain = tiny_model();
  apply_gptq(*model, weights(16));
  EXPECT_TRUE(at::equal(model->logits(tiny_tokens()), plain->logits(tiny_tokens())));
}

TEST(GptqMethod, OverridesReachTheirLinears) {
  Format format = weights(16);
  format.overrides = {{"*.up_proj", {{Site::w, {3, 0, true, 1.0}}}}};
  const auto model = tiny_model(), plain = tiny_model();
  apply_gptq(*model, format);
  for (std::size_t i = 0; i < 7; ++i) {
    const auto [name, linear] = model->blocks()[1].linears()[i];
    EXPECT_EQ(at::equal(linear->weight, plain->blocks()[1].linears()[i].second->weight),
              name != "mlp.up_proj")
        << name;
  }
}

TEST(GptqMethod, KeepsTheModelsDtype) {
  for (at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const auto model = tiny_model(dtype);
    apply_gptq(*model, weights(4, 16, false));
    EXPECT_EQ(model->blocks()[0].down.weight.scalar_type(), dtype);
    EXPECT_TRUE(at::isfinite(model->logits(tiny_tokens())).all().item<bool>());
  }
}

TEST(GptqMethod, NanInCalibrationNamesTheInput) {
  const auto model = tiny_model();
  model->blocks()[1].post_attention_norm[3] = std::numeric_limits<float>::quiet_NaN();
  const std::string text = test::error_of([&] { apply_gptq(*model, weights(4)); });
  EXPECT_THAT(text, HasSubstr("Hessian of the input of model.layers.1.mlp.gate_proj"));
  EXPECT_THAT(text, HasSubstr("NaN at index [0, 3]"));
}

TEST(GptqMethod, NanInAWeightNamesTheTensor) {
  const auto model = tiny_model();
  model->blocks()[1].o.weight[3][5] = std::numeric_limits<float>::quiet_NaN();
  const std::string text = test::error_of([&] { apply_gptq(*model, weights(4)); });
  EXPECT_THAT(text, HasSubstr("model.layers.1.self_attn.o_proj.weight"));
  EXPECT_THAT(text, HasSubstr("[3, 5]"));
}

TEST(GptqMethod, SaysWhatItNeeds) {
  Problems problems;
  const MethodTraits traits = make_gptq({}, problems)->traits();
  EXPECT_TRUE(traits.quantizes_weights);
  EXPECT_TRUE(traits.needs_calibration);
  EXPECT_FALSE(traits.needs_base);
}

TEST(GptqMethod, WrongOptionsAreProblems) {
  Problems problems;
  make_gptq({{"damping", Value(0.0)}, {"actorder", Value(true)}}, problems);
  EXPECT_THAT(problems.texts(),
              testing::UnorderedElementsAre(HasSubstr("damping"), HasSubstr("act_order")));
}

}  // namespace
}  // namespace harness
