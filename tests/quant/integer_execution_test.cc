#include "harness/quant/integer_execution.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>

#include <limits>
#include <map>

#include "harness/model/kv_cache.h"
#include "harness/quant/site_statistics.h"
#include "harness/quant/sites.h"
#include "tests/quant/tiny_model.h"

namespace harness {
namespace {

using test::tiny_config;
using test::tiny_model;
using test::tiny_tokens;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Format format_of(const QuantSpec& w, const QuantSpec& a, const QuantSpec& kv = {}) {
  Format format;
  format.w = w;
  format.a = format.a_o = format.a_down = a;
  format.k = format.v = kv;
  return format;
}

const QuantSpec kW8{8, 0, true, 1.0}, kA8{8, 0, false, 1.0}, kA4{4, 0, false, 1.0};

std::vector<Format> formats() {
  Format groups = format_of({4, 16, false, 1.0}, kA8);
  groups.a_o = {4, 32, true, 1.0};
  Format overridden = format_of(kW8, kA8);
  overridden.overrides = {{"layers 1", {{Site::w, {4, 8, true, 1.0}}}},
                          {"*.v_proj", {{Site::w, {2, 0, false, 1.0}}}}};
  return {format_of(kW8, kA8),
          format_of({4, 0, true, 1.0}, kA4, {4, 128, false, 1.0}),
          format_of({4, 0, false, 1.0}, kA8),
          format_of({4, 0, true, 1.0}, {8, 0, true, 0.9}),
          groups,
          overridden};
}

/// The tiny model with weights to nearest, quantizers installed.
std::unique_ptr<LlamaModel> quantized(const Format& format, at::ScalarType dtype,
                                      std::map<std::string, QuantizedWeight>& weights) {
  auto model = tiny_model(dtype);
  for (std::size_t layer = 0; layer < model->layers(); ++layer)
    model->change_block(layer, [&](LlamaBlock& block) {
      for (auto& [part, linear] : block.linears()) {
        const std::string name = fmt::format("model.layers.{}.{}", layer, part);
        const QuantSpec spec = format.at(Site::w, static_cast<int>(layer), name);
        QuantizedWeight weight = quantize_weight(linear->weight, spec, false, name);
        linear->weight = weight.dequantize(dtype);
        linear->bias = at::full({linear->weight.size(0)}, 0.25, dtype);
        weights[name + ".weight"] = std::move(weight);
      }
    });
  install_quantizers(*model, format);
  return model;
}

std::unique_ptr<LlamaModel> simulated(const Format& format, at::ScalarType dtype = at::kFloat) {
  std::map<std::string, QuantizedWeight> weights;
  return quantized(format, dtype, weights);
}

std::unique_ptr<LlamaModel> integer(const Format& format, at::ScalarType dtype = at::kFloat) {
  std::map<std::string, QuantizedWeight> weights;
  auto model = quantized(format, dtype, weights);
  execute_as_integers(*model, format, [&](const std::string& name) { return weights.at(name); });
  return model;
}

/// Largest difference over the largest value.
double apart(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(at::kDouble) - b.to(at::kDouble)).abs().max() / b.to(at::kDouble).abs().max())
      .item<double>();
}

// Each Linear is within its roundings (kernels/integer_linear_test); here 14 of them stand one
// behind the other, whose sums have at most 64 terms: some 64 roundings of 2^-24 each, while no
// code flips.
TEST(IntegerExecution, LogitsAreTheSimulatedOnesInFloat32) {
  const c10::InferenceMode inference;
  for (const Format& format : formats())
    EXPECT_LT(
        apart(integer(format)->logits(tiny_tokens()), simulated(format)->logits(tiny_tokens())),
        14 * 64 * 0x1p-24)
        << format.label();
}

TEST(IntegerExecution, InBfloat16ItIsNearerToFloat32ThanTheSimulatedModel) {
  const c10::InferenceMode inference;
  const Format format = format_of(kW8, kA8);
  const at::Tensor exact = simulated(format)->logits(tiny_tokens());
  const double of_integer = apart(integer(format, at::kBFloat16)->logits(tiny_tokens()), exact);
  EXPECT_LT(of_integer, 0.05);
  EXPECT_LT(of_integer,
            1.5 * apart(simulated(format, at::kBFloat16)->logits(tiny_tokens()), exact));
}

TEST(IntegerExecution, ReadsNoWeightOfABlock) {
  const c10::InferenceMode inference;
  const Format format = format_of(kW8, kA4);
  const auto model = integer(format);
  model->pack_weights();
  const at::Tensor before = model->logits(tiny_tokens());
  for (LlamaBlock& block : model->blocks())
    for (auto& [name, linear] : block.linears())
      linear->weight.fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(at::equal(model->logits(tiny_tokens()), before));
}

TEST(IntegerExecution, ATokenAtATimeIsAWholePass) {
  const c10::InferenceMode inference;
  const auto model = integer(format_of(kW8, kA8));
  const at::Tensor tokens = tiny_tokens(), whole = model->hidden(tokens);
  KvCache cache(*model, 2);
  for (std::int64_t i = 0; i < tokens.size(1); ++i) {
    const at::Tensor part = model->hidden(tokens.slice(1, i, i + 1), cache);
    cache.advance({1, 1});
    EXPECT_LT(apart(part, whole.slice(1, i, i + 1)), 14 * 64 * 0x1p-24) << i;
  }
}

TEST(IntegerExecution, SitesAreLookedAtAsInASimulatedModel) {
  const Format format = format_of(kW8, kA4);
  const auto of_integer = site_statistics(*integer(format), {tiny_tokens()});
  const auto of_simulated = site_statistics(*simulated(format), {tiny_tokens()});
  ASSERT_EQ(of_integer.size(), of_simulated.size());
  for (std::size_t i = 0; i < of_integer.size(); ++i) {
    EXPECT_NEAR(of_integer[i].kurtosis, of_simulated[i].kurtosis, 1e-3);
    EXPECT_NEAR(of_integer[i].snr_db.value_or(-1), of_simulated[i].snr_db.value_or(-1), 1e-3);
  }
}

std::vector<std::string> problems_of(const Format& format, at::ScalarType dtype = at::kFloat,
                                     at::Device device = at::kCPU, bool streams = false,
                                     const LlamaConfig& config = tiny_config()) {
  Problems problems;
  check_integer_execution(format, config, dtype, device, streams, "run \"r\"", problems);
  return problems.texts();
}

TEST(IntegerExecution, WhatCannotBeComputedSoIsSaid) {
  for (const Format& format : formats()) EXPECT_THAT(problems_of(format), IsEmpty());
  EXPECT_THAT(problems_of(format_of(kW8, {})),
              ElementsAre(AllOf(HasSubstr("run \"r\""), HasSubstr("layer 0, input of q, k, v"),
                                HasSubstr("stays in 16 bits"), HasSubstr("w8a8"))));
  EXPECT_THAT(problems_of(format_of({}, kA8)),
              ElementsAre(HasSubstr("the weight of self_attn.q_proj in layer 0 stays in 16 bits")));
  Format partly = format_of(kW8, kA8);
  partly.overrides = {{"layers 1", {{Site::a_down, {}}}}};
  EXPECT_THAT(problems_of(partly), ElementsAre(HasSubstr("layer 1, input of down")));
  const Format w8a8 = format_of(kW8, kA8);
  EXPECT_THAT(problems_of(w8a8, at::kDouble), ElementsAre(HasSubstr("fp64")));
  EXPECT_THAT(problems_of(w8a8, at::kFloat, at::Device(at::kCUDA, 0)),
              ElementsAre(HasSubstr("cuda:0")));
  EXPECT_THAT(problems_of(w8a8, at::kFloat, at::kCPU, true),
              ElementsAre(HasSubstr("memory_limit")));
  LlamaConfig wide = tiny_config();
  wide.intermediate_size = 65'800;
  EXPECT_THAT(problems_of(w8a8, at::kFloat, at::kCPU, false, wide),
              ElementsAre(AllOf(HasSubstr("65800 inputs"), HasSubstr("mlp.down_proj"))));
  EXPECT_THAT(problems_of(format_of({4, 0, true, 1.0}, kA8), at::kFloat, at::kCPU, false, wide),
              IsEmpty());
}

}  // namespace
}  // namespace harness
