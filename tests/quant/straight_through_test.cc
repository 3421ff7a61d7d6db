#include "harness/kernels/straight_through.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "harness/kernels/ops.h"
#include "harness/model/safetensors.h"
#include "tests/support/support.h"

namespace harness {
namespace {

struct Case {
  QuantSpec spec;
  bool weight;
  at::Tensor expected;
};

const SafetensorsFile& golden() {
  static const SafetensorsFile file(test::golden("transform_training/golden.safetensors"));
  return file;
}

std::vector<Case> cases() {
  const auto about =
      nlohmann::json::parse(test::read_file(test::golden("transform_training/golden.json")));
  std::vector<Case> result;
  for (const auto& entry : about.at("quantizers")) {
    const QuantSpec spec{entry.at("bits").get<int>(), entry.at("group").get<std::int64_t>(),
                         entry.at("symmetric").get<bool>(), entry.at("clip").get<double>()};
    result.push_back({spec, entry.at("weight").get<bool>(),
                      golden().load(fmt::format("quantizer.{}", result.size()))});
  }
  return result;
}

at::Tensor apply(const Case& each, const at::Tensor& x) {
  return each.weight ? quantize_weight_straight_through(x, each.spec, "x")
                     : fake_quantize_straight_through(x, each.spec, "x");
}

at::Tensor gradient_of(const Case& each, const at::Tensor& x, const at::Tensor& gradient) {
  const at::Tensor leaf = x.detach().clone().set_requires_grad(true);
  apply(each, leaf).backward(gradient);
  return leaf.grad();
}

TEST(StraightThrough, GradientsAreTheFormulasByAutograd) {
  const at::Tensor x = golden().load("quantizer.x"), gradient = golden().load("quantizer.gradient");
  for (const Case& each : cases()) {
    const at::Tensor found = gradient_of(each, x, gradient);
    EXPECT_TRUE(at::allclose(found, each.expected, 1e-12, 1e-12))
        << each.spec.bits << " bits, symmetric " << each.spec.symmetric << ", weight "
        << each.weight << ", " << (found - each.expected).abs().max().item<double>();
  }
}

TEST(StraightThrough, ValuesAreTheQuantizersToTheBit) {
  const at::Tensor x = golden().load("quantizer.x");
  for (const Case& each : cases()) {
    for (at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
      const at::Tensor value = x.to(dtype).set_requires_grad(true);
      const at::Tensor plain =
          each.weight ? quantize_weight(value.detach(), each.spec, false, "x").dequantize(dtype)
                      : fake_quantize(value.detach(), each.spec, "x");
      EXPECT_TRUE(at::equal(apply(each, value).detach(), plain));
    }
  }
}

// The surrogate whose derivative it is: round(v) is v plus a constant, and so is the zero point.
TEST(StraightThrough, GradientIsTheSlopeOfTheSurrogate) {
  const at::Tensor x = at::randn({3, 8}, at::detail::createCPUGenerator(3), at::kDouble).mul_(2);
  const at::Tensor gradient = at::randn({3, 8}, at::detail::createCPUGenerator(4), at::kDouble);
  const Case each{{3, 0, false, 0.6}, false, {}};
  const double levels = 7;
  auto scale_of = [&](const at::Tensor& v) {
    return (0.6 * v.amax(-1, true) - 0.6 * v.amin(-1, true)) / levels;
  };
  const at::Tensor zero = (-0.6 * x.amin(-1, true) / scale_of(x)).round();
  const at::Tensor rounding = (x / scale_of(x)).round() - x / scale_of(x);
  // The extremes are cut off, so that moving one takes every code on an edge to the same side of
  // it.
  const at::Tensor free = (x / scale_of(x)).round() + zero;
  ASSERT_TRUE((free.amax(-1) > levels).all().item<bool>());
  ASSERT_TRUE((free.amin(-1) < 0).all().item<bool>());
  auto surrogate = [&](const at::Tensor& v) {
    const at::Tensor scale = scale_of(v);
    return (((v / scale + rounding + zero).clamp(0, levels) - zero) * scale * gradient)
        .sum()
        .item<double>();
  };
  const at::Tensor found = gradient_of(each, x, gradient);
  for (std::int64_t row = 0; row < 3; ++row)
    for (std::int64_t column = 0; column < 8; ++column) {
      // One side of the clamp's edge: codes on it have a slope on one side only.
      const double step = 1e-6;
      at::Tensor up = x.clone(), down = x.clone();
      up[row][column] += step;
      down[row][column] -= step;
      const double here = surrogate(x);
      const double right = (surrogate(up) - here) / step, left = (here - surrogate(down)) / step;
      const double value = found[row][column].item<double>();
      EXPECT_LT(std::min(std::abs(value - right), std::abs(value - left)), 1e-6)
          << row << ", " << column;
    }
}

TEST(StraightThrough, SixteenBitsPassEverything) {
  const at::Tensor x = at::ones({2, 4}).set_requires_grad(true);
  EXPECT_TRUE(fake_quantize_straight_through(x, {}, "x").is_same(x));
}

TEST(StraightThrough, Float32IsNearFloat64) {
  const at::Tensor x = golden().load("quantizer.x"), gradient = golden().load("quantizer.gradient");
  for (const Case& each : cases()) {
    const at::Tensor wide = gradient_of(each, x.to(at::kFloat).to(at::kDouble), gradient);
    const at::Tensor found = gradient_of(each, x.to(at::kFloat), gradient.to(at::kFloat));
    EXPECT_LT((wide - found).abs().max().item<double>(), 1e-4);
  }
}

}  // namespace
}  // namespace harness
