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

// Against ATen's form in float64: many groups, tails of vectors, ties of the extremes, constant and
// one-sided groups, and groups below the floor of the step.
TEST(StraightThrough, OnePassIsTheFormulaInFloat64) {
  auto random = [](at::IntArrayRef shape, std::uint64_t seed) {
    return at::randn(shape, at::detail::createCPUGenerator(seed), at::kFloat);
  };
  for (std::int64_t features : {1, 7, 16, 48, 300}) {
    at::Tensor x = random({60, features}, 20);
    x.slice(0, 10, 20).clamp_(-0.8, 0.7);
    x.slice(0, 20, 25).fill_(0.75);
    x.slice(0, 25, 30).zero_();
    x.slice(0, 30, 35).abs_();
    x.slice(0, 35, 40).abs_().neg_();
    x.slice(0, 40, 45).mul_(1e-8);
    const at::Tensor gradient = random({60, features}, 21);
    for (bool weight : {false, true})
      for (const QuantSpec& spec : {QuantSpec{4, 0, false, 1.0}, QuantSpec{3, 0, true, 1.0},
                                    QuantSpec{8, 0, false, 0.7}, QuantSpec{2, 0, true, 0.9}})
        for (at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
          const Case each{spec, weight, {}};
          const at::Tensor value = x.to(dtype), incoming = gradient.to(dtype);
          const at::Tensor found = gradient_of(each, value, incoming).to(at::kDouble);
          // Not all of them: in float64 a code on an edge may fall to the other side.
          const at::Tensor wide =
              gradient_of(each, value.to(at::kDouble), incoming.to(at::kDouble));
          const double unit = dtype == at::kFloat ? 1e-5 : 4e-3;
          const at::Tensor close = (found - wide).abs() <= unit * (1 + wide.abs());
          EXPECT_GE(close.to(at::kDouble).mean().item<double>(), 0.999)
              << features << " features, " << spec.bits << " bits, symmetric " << spec.symmetric
              << ", weight " << weight << ", " << dtype;
        }
  }
}

TEST(StraightThrough, AnyOrderOfDimensionsAndAnyShareOfTheGroups) {
  const at::Tensor x = at::randn({2, 40, 3, 24}, at::detail::createCPUGenerator(22), at::kFloat);
  const at::Tensor gradient = at::randn(x.sizes(), at::detail::createCPUGenerator(23), at::kFloat);
  const Case each{{4, 8, false, 1.0}, false, {}};
  const at::Tensor whole = gradient_of(each, x, gradient);
  const at::Tensor turned = gradient_of(each, x.transpose(1, 2), gradient.transpose(1, 2));
  EXPECT_TRUE(at::equal(turned.transpose(1, 2), whole));
  EXPECT_TRUE(at::equal(gradient_of(each, x[1], gradient[1]), whole[1]));
}

TEST(StraightThrough, NotANumberStaysOne) {
  for (at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    at::Tensor gradient = at::ones({2, 40}, dtype);
    gradient[1][3] = std::numeric_limits<float>::quiet_NaN();
    const at::Tensor x =
        at::randn({2, 40}, at::detail::createCPUGenerator(24), at::kFloat).to(dtype);
    const at::Tensor found = gradient_of({{4, 0, false, 1.0}, false, {}}, x, gradient);
    EXPECT_TRUE(at::isfinite(found[0]).all().item<bool>());
    EXPECT_TRUE(at::isnan(found[1][3]).item<bool>());
  }
}

}  // namespace
}  // namespace harness
