#include "harness/quant/sites.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>

#include <limits>

#include "harness/kernels/ops.h"
#include "harness/model/kv_cache.h"
#include "tests/quant/tiny_model.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using test::tiny_config;
using test::tiny_model;
using test::tiny_tokens;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

QuantSpec bits(int bits, std::int64_t group = 0) { return {bits, group, false, 1.0}; }

Format w16a4kv4() {
  Format format;
  format.a = format.a_o = format.a_down = bits(4);
  format.k = format.v = bits(4, 128);
  return format;
}

at::Tensor logits_under(const Format& format) {
  const auto model = tiny_model();
  install_quantizers(*model, format);
  return model->logits(tiny_tokens());
}

std::vector<std::string> problems_of(const Format& format,
                                     const LlamaConfig& config = tiny_config()) {
  Problems problems;
  check_format(format, config, problems);
  return problems.texts();
}

TEST(Sites, CachedKAndVAreThoseOfAWholePass) {
  // In float64, where no rounding of a product's order can move a value over a quantizer's step.
  const auto model = tiny_model(at::kDouble);
  install_quantizers(*model, w16a4kv4());
  const at::Tensor tokens = tiny_tokens();
  const at::Tensor whole = model->hidden(tokens);
  KvCache cache(*model, 2);
  std::vector<at::Tensor> parts;
  std::int64_t begin = 0;
  for (const std::int64_t count : {5, 1, 4, 1, 1}) {
    parts.push_back(model->hidden(tokens.slice(1, begin, begin + count), cache));
    cache.advance({count, count});
    begin += count;
  }
  ASSERT_EQ(begin, tokens.size(1));
  EXPECT_LT((at::cat(parts, 1) - whole).abs().max().item<double>(), 1e-9);
}

class EachSite : public testing::TestWithParam<Site> {};

TEST_P(EachSite, SwitchedOnAloneChangesTheLogits) {
  Format format;
  format.spec(GetParam()) = bits(4);
  EXPECT_FALSE(at::equal(logits_under(format), logits_under(Format{})));
}

TEST_P(EachSite, SwitchedOffChangesTheLogits) {
  Format format = w16a4kv4();
  const at::Tensor all = logits_under(format);
  format.spec(GetParam()).bits = 16;
  EXPECT_FALSE(at::equal(logits_under(format), all));
}

TEST_P(EachSite, IsNeededInEveryLayer) {
  const at::Tensor all = logits_under(w16a4kv4());
  for (const char* layer : {"layers 0", "layers 1"}) {
    Format format = w16a4kv4();
    format.overrides = {{layer, {{GetParam(), bits(16)}}}};
    EXPECT_FALSE(at::equal(logits_under(format), all)) << layer;
  }
}

INSTANTIATE_TEST_SUITE_P(Sites, EachSite,
                         testing::Values(Site::a, Site::a_o, Site::a_down, Site::k, Site::v),
                         [](const auto& info) { return site_name(info.param); });

TEST(Sites, SiteAIsBothTheAttentionsAndTheMlpsInput) {
  const at::Tensor all = logits_under(w16a4kv4());
  for (const char* reader : {"*.q_proj", "*.gate_proj"}) {
    Format format = w16a4kv4();
    format.overrides = {{reader, {{Site::a, bits(16)}}}};
    EXPECT_FALSE(at::equal(logits_under(format), all)) << reader;
  }
}

TEST(Sites, SixteenBitsLeaveEveryBitAsItWas) {
  const auto model = tiny_model();
  const at::Tensor before = model->logits(tiny_tokens());
  install_quantizers(*model, Format{});
  for (LlamaBlock& block : model->blocks())
    for (const auto& steps : block.sites) EXPECT_THAT(steps, IsEmpty());
  EXPECT_TRUE(at::equal(model->logits(tiny_tokens()), before));
}

TEST(Sites, EightBitsStayNearAndTwoBitsDoNot) {
  auto error = [](int precision) {
    Format format = w16a4kv4();
    for (Site site : {Site::a, Site::a_o, Site::a_down, Site::k, Site::v})
      format.spec(site).bits = precision;
    const at::Tensor plain = logits_under(Format{});
    return ((logits_under(format) - plain).norm() / plain.norm()).item<float>();
  };
  EXPECT_LT(error(8), 0.05f);
  EXPECT_GT(error(2), 0.3f);
}

TEST(Sites, QuantizersComeAfterTheStepsOfMethods) {
  const auto model = tiny_model();
  model->blocks()[0].at(ActivationSite::down_in).push_back({"hadamard", [](const at::Tensor& x) {
                                                              return x;
                                                            }});
  install_quantizers(*model, w16a4kv4());
  const auto& steps = model->blocks()[0].at(ActivationSite::down_in);
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].name, "hadamard");
  EXPECT_EQ(steps[1].name, "quantize a_down");
}

// What changes rows where they are made has the bits of what changes whole tensors.
TEST(Sites, StepsOnRowsAreThoseOnTensors) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const auto model = tiny_model(dtype);
    for (std::size_t layer = 0; layer < model->layers(); ++layer)
      for (const ActivationSite site :
           {ActivationSite::q, ActivationSite::k, ActivationSite::o_in, ActivationSite::down_in})
        model->steps(layer, site).push_back({"hadamard", HadamardRows{}});
    install_quantizers(*model, w16a4kv4());
    const at::NoGradGuard no_gradients;
    const at::Tensor tokens = at::arange(12).view({2, 6});
    const at::Tensor on_rows = model->logits(tokens);
    for (LlamaBlock& block : model->blocks())
      for (std::vector<SiteStep>& steps : block.sites)
        for (SiteStep& step : steps)
          step.action = [step](const at::Tensor& x) { return step.apply(x); };
    EXPECT_TRUE(at::equal(model->logits(tokens), on_rows));
  }
}

TEST(Sites, EachSiteQuantizesByItsOwnSpec) {
  const auto model = tiny_model();
  Format format = w16a4kv4();
  format.a_down = {3, 12, true, 0.9};
  install_quantizers(*model, format);
  const at::Tensor x = at::randn({2, 3, 48}, at::detail::createCPUGenerator(3), at::kFloat);
  const at::Tensor y = model->blocks()[1].at(ActivationSite::down_in).at(0).apply(x);
  EXPECT_TRUE(at::equal(y, fake_quantize(x, {3, 12, true, 0.9}, "x")));
}

TEST(Sites, DefaultGroupOfKAndVIsTheWholeSmallHead) {
  const auto model = tiny_model();
  install_quantizers(*model, w16a4kv4());
  const at::Tensor x = at::randn({1, 2, 5, 16}, at::detail::createCPUGenerator(4), at::kFloat);
  const at::Tensor y = model->blocks()[0].at(ActivationSite::k).at(0).apply(x);
  EXPECT_TRUE(at::equal(y, fake_quantize(x, bits(4), "x")));
}

TEST(Sites, NanNamesTheLayerAndTheSite) {
  const auto model = tiny_model();
  model->blocks()[1].up.weight.fill_(std::numeric_limits<float>::quiet_NaN());
  install_quantizers(*model, w16a4kv4());
  const std::string text = test::error_of([&] { model->logits(tiny_tokens()); });
  EXPECT_THAT(text, HasSubstr("layer 1, input of down"));
  EXPECT_THAT(text, HasSubstr("NaN at index [0, 0, 0]"));
}

TEST(CheckFormat, AcceptsTheFormatsOfThePaper) {
  EXPECT_THAT(problems_of(w16a4kv4()), IsEmpty());
  EXPECT_THAT(problems_of(Format{}), IsEmpty());
}

TEST(CheckFormat, GroupThatDoesNotDivideNamesTheLinearAndItsFeatures) {
  Format format;
  format.w = {4, 32, true, 1.0};  // every Linear but down reads 32 or 64 features
  EXPECT_THAT(problems_of(format),
              testing::ElementsAre(testing::AllOf(HasSubstr("group 32"), HasSubstr("mlp.down_proj"),
                                                  HasSubstr("48 features"))));
}

TEST(CheckFormat, GroupOfKThatDoesNotDivideTheHeadIsAProblem) {
  Format format;
  format.k = bits(4, 12);
  EXPECT_THAT(problems_of(format), testing::ElementsAre(HasSubstr("group 12")));
  format.k = bits(4, 32);
  EXPECT_THAT(problems_of(format), testing::ElementsAre(HasSubstr("group 32")));
}

TEST(CheckFormat, BitsAndClipOutOfRangeAreProblems) {
  Format format;
  format.v = {12, 0, false, 1.0};
  format.a_o = {4, 0, false, 1.5};
  EXPECT_THAT(problems_of(format),
              testing::UnorderedElementsAre(HasSubstr("12 bits"), HasSubstr("clip 1.5")));
}

TEST(CheckFormat, OverridesAreCheckedToo) {
  Format format;
  format.overrides = {{"layers 1", {{Site::a_down, bits(4, 7)}}}};
  EXPECT_THAT(problems_of(format), testing::ElementsAre(HasSubstr("group 7")));
}

TEST(CheckFormat, OverrideThatMatchesNothingIsAProblem) {
  for (const char* match : {"layers 2-5", "*.dwon_proj", "layers one"}) {
    Format format;
    format.overrides = {{match, {{Site::w, bits(8)}}}};
    EXPECT_THAT(problems_of(format), testing::ElementsAre(HasSubstr(match))) << match;
  }
}

TEST(CheckFormat, ActivationsAnswerToTheirFirstReader) {
  Format format;
  format.overrides = {{"*.up_proj", {{Site::a, bits(8)}}}};
  EXPECT_THAT(problems_of(format), Contains(HasSubstr("*.mlp.gate_proj")));
  format.overrides = {{"*.gate_proj", {{Site::a, bits(8)}}}};
  EXPECT_THAT(problems_of(format), IsEmpty());
}

}  // namespace
}  // namespace harness
