// Against the formulas in float64 and a public implementation: tests/golden/quantizers/generate.py.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "harness/kernels/ops.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using nlohmann::json;

struct GoldenCase {
  std::string name;
  QuantSpec spec;
  bool mse_clip, is_activation;
  at::Tensor x, float64, torch, scales, zeros;
};

at::Tensor tensor(const json& values) {
  return at::tensor(values.get<std::vector<double>>(), at::kDouble);
}

std::vector<GoldenCase> golden_cases() {
  std::vector<GoldenCase> result;
  const json golden = json::parse(test::read_file(test::golden("quantizers/golden.json")));
  for (const json& entry : golden["cases"]) {
    const std::string scheme = entry["scheme"];
    const std::int64_t group = entry["group"];
    GoldenCase c;
    c.name = scheme + ", " + std::to_string(entry["bits"].get<int>()) + " bits, group " +
             std::to_string(group);
    c.spec = {entry["bits"], 0, scheme != "asymmetric", entry["clip"]};
    c.mse_clip = entry["mse_clip"];
    c.is_activation = scheme == "symmetric_activation";
    c.x = tensor(entry["x"]).view({-1, group});
    c.float64 = tensor(entry["float64"]).view({-1, group});
    c.torch = tensor(entry["torch"]).view({-1, group});
    c.scales = tensor(entry["scales"]);
    c.zeros = tensor(entry["zeros"]);
    result.push_back(c);
  }
  return result;
}

at::Tensor quantized(const GoldenCase& c, at::ScalarType dtype) {
  const at::Tensor x = c.x.to(dtype);
  return (c.is_activation ? fake_quantize(x, c.spec, c.name)
                          : quantize_weight(x, c.spec, c.mse_clip, c.name).dequantize(dtype))
      .to(at::kDouble);
}

void expect_near(const GoldenCase& c, const at::Tensor& found, const at::Tensor& expected,
                 double tolerance) {
  const at::Tensor error = (found - expected).abs().amax(-1) / c.x.abs().amax(-1);
  EXPECT_LT(error.max().item<double>(), tolerance) << c.name;
}

TEST(QuantizeGolden, HoldsEveryScheme) { EXPECT_EQ(golden_cases().size(), 19u); }

TEST(QuantizeGolden, Float32AgreesWithTheFormulasInFloat64) {
  for (const GoldenCase& c : golden_cases())
    expect_near(c, quantized(c, at::kFloat), c.float64, 1e-6);
}

TEST(QuantizeGolden, Float64AgreesWithTheFormulasInFloat64) {
  for (const GoldenCase& c : golden_cases())
    expect_near(c, quantized(c, at::kDouble), c.float64, 1e-14);
}

TEST(QuantizeGolden, AgreesWithTorchsFakeQuantize) {
  for (const GoldenCase& c : golden_cases())
    expect_near(c, quantized(c, at::kFloat), c.torch, 1e-6);
}

TEST(QuantizeGolden, ScalesAndZeroPointsAreThoseOfTheFormulas) {
  for (const GoldenCase& c : golden_cases()) {
    if (c.is_activation) continue;
    const QuantizedWeight q = quantize_weight(c.x.to(at::kFloat), c.spec, c.mse_clip, c.name);
    EXPECT_TRUE(at::allclose(q.scales.flatten().to(at::kDouble), c.scales, 1e-6, 0)) << c.name;
    const at::Tensor zeros = q.zeros.defined() ? q.zeros.flatten() : at::zeros_like(c.scales);
    EXPECT_TRUE(at::equal(zeros.to(at::kDouble), c.zeros)) << c.name;
  }
}

}  // namespace
}  // namespace harness
