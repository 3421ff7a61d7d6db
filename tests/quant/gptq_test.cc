#include "harness/quant/gptq.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "harness/model/safetensors.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kRows = 16, kColumns = 160;  // more columns than one block of 128

at::Tensor random(at::IntArrayRef shape, int seed) {
  return at::randn(shape, at::detail::createCPUGenerator(static_cast<std::uint64_t>(seed)),
                   at::kDouble);
}

/// Inputs of which some features are much larger than others, and which depend on each other.
at::Tensor random_inputs(int seed, std::int64_t features = kColumns) {
  const at::Tensor mixing =
      random({features, features}, seed) / std::sqrt(static_cast<double>(features)) +
      at::eye(features, at::kDouble);
  return random({3 * features, features}, seed + 1).matmul(mixing) *
         random({features}, seed + 2).exp();
}

at::Tensor hessian_of(const at::Tensor& inputs) { return inputs.t().matmul(inputs) * (2.0 / 8.0); }

at::Tensor random_weight(int seed, std::int64_t features = kColumns) {
  return random({kRows, features}, seed) / std::sqrt(static_cast<double>(features));
}

using Order = std::vector<std::int64_t>;

Order left_to_right(std::int64_t columns) {
  Order order(static_cast<std::size_t>(columns));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

Order by_diagonal(const at::Tensor& hessian) {
  Order order = left_to_right(hessian.size(0));
  const at::Tensor diagonal = hessian.diagonal().contiguous();
  const double* d = diagonal.const_data_ptr<double>();
  std::stable_sort(order.begin(), order.end(), [d](auto a, auto b) { return d[a] > d[b]; });
  return order;
}

struct Grid {
  double scale, zero, lowest, highest;
};

/// methods.md section 2, in float64, for the values of a group.
Grid grid_of(const std::vector<double>& values, const QuantSpec& spec, bool mse_clip) {
  double min = 0, max = 0;
  for (double value : values) min = std::min(min, value), max = std::max(max, value);
  auto candidate = [&](double p) -> Grid {
    const double low = p * min, high = std::max(p * max, 1e-6);
    if (spec.symmetric) {
      const double half = std::pow(2, spec.bits - 1);
      return {std::max(high / (half - 1), low / -half), 0, -half, half - 1};
    }
    const double levels = std::pow(2, spec.bits) - 1, scale = (high - low) / levels;
    return {scale, std::nearbyint(-low / scale), 0, levels};
  };
  Grid best = candidate(1);
  double least = std::numeric_limits<double>::infinity();
  for (int i = 0; mse_clip && i < 80; ++i) {
    const Grid grid = candidate(1 - i / 100.0);
    double error = 0;
    for (double value : values) {
      const double code =
          std::clamp(std::nearbyint(value / grid.scale) + grid.zero, grid.lowest, grid.highest);
      error += std::pow(std::abs((code - grid.zero) * grid.scale - value), 2.4);
    }
    if (error < least) least = error, best = grid;
  }
  return best;
}

struct Expected {
  at::Tensor codes;  // [out, in]
  double loss = 0;
  double nearest_tie = 1;  // distance of a value from the middle between two codes, in steps
};

/// The paper's formula as it stands (its equation 2): for each column in turn, with F the columns
/// not yet quantized and H_F^-1 the inverse of their part of H, written out each time,
///   delta_F = -(w_j - q) / [H_F^-1]_jj * [H_F^-1]_:,j
Expected by_formula(const at::Tensor& weight, const at::Tensor& hessian, const QuantSpec& spec,
                    const GptqOptions& options, const Order& order) {
  const std::int64_t rows = weight.size(0), columns = weight.size(1);
  const std::int64_t group = spec.group == 0 ? columns : spec.group;
  at::Tensor h = hessian.clone(), w = weight.clone();
  for (std::int64_t j = 0; j < columns; ++j)
    if (h[j][j].item<double>() == 0) h[j][j] = 1, w.select(1, j).zero_();
  h += options.damping * h.diagonal().mean() * at::eye(columns, at::kDouble);

  auto grids_of = [&](const at::Tensor& from, std::int64_t g) {
    std::vector<Grid> grids;
    for (std::int64_t r = 0; r < rows; ++r) {
      const at::Tensor values = from[r].narrow(0, g * group, group).contiguous();
      const double* data = values.const_data_ptr<double>();
      grids.push_back(grid_of({data, data + group}, spec, options.mse_clip));
    }
    return grids;
  };
  std::map<std::int64_t, std::vector<Grid>> grids;
  Expected expected;
  expected.codes = at::empty({rows, columns}, at::kDouble);
  for (std::size_t step = 0; step < order.size(); ++step) {
    const std::int64_t j = order[step], g = j / group;
    const at::Tensor left = at::tensor(
        Order(order.begin() + static_cast<std::ptrdiff_t>(step), order.end()), at::kLong);
    const at::Tensor inverse = at::linalg_inv(h.index_select(0, left).index_select(1, left));
    const double pivot = inverse[0][0].item<double>();
    if (!grids.count(g))
      grids[g] = grids_of(options.static_groups || spec.group == 0 ? weight : w, g);
    at::Tensor errors = at::empty({rows}, at::kDouble);
    for (std::int64_t r = 0; r < rows; ++r) {
      const Grid& grid = grids[g][static_cast<std::size_t>(r)];
      const double value = w[r][j].item<double>(), steps = value / grid.scale;
      const double code = std::clamp(std::nearbyint(steps) + grid.zero, grid.lowest, grid.highest);
      const double error = value - (code - grid.zero) * grid.scale;
      expected.codes[r][j] = code;
      expected.loss += error * error / pivot;
      expected.nearest_tie =
          std::min(expected.nearest_tie, std::abs(steps - std::floor(steps) - 0.5));
      errors[r] = error / pivot;
    }
    w.index_add_(1, left, -errors.outer(inverse[0]));
  }
  return expected;
}

GptqResult run(const at::Tensor& weight, const at::Tensor& hessian, const QuantSpec& spec,
               const GptqOptions& options) {
  return gptq(weight, factor_hessian(hessian, options, "H"), spec, options, "w");
}

struct Case {
  QuantSpec spec;
  GptqOptions options;
};

QuantSpec bits(int bits, std::int64_t group = 0, bool symmetric = true) {
  return {bits, group, symmetric, 1.0};
}

/// Groups within a block and across its end (20, 40 and 80 do not divide 128).
const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {bits(4), {}},
      {bits(4, 0, false), {.mse_clip = false}},
      {bits(3), {.act_order = true}},
      {bits(4, 32), {}},
      {bits(3, 80, false), {.mse_clip = false}},
      {bits(4, 40), {.damping = 0.1, .act_order = true}},
      {bits(4, 32, false), {.act_order = true, .static_groups = true}},
      {bits(2, 20), {.mse_clip = false, .static_groups = true}},
  };
  return all;
}

class EachCase : public testing::TestWithParam<std::size_t> {
 protected:
  const Case& given() const { return cases()[GetParam()]; }
  const at::Tensor weight_ = random_weight(10), hessian_ = hessian_of(random_inputs(20));
  Expected expected(const Order& order, const GptqOptions& options) const {
    return by_formula(weight_, hessian_, given().spec, options, order);
  }
  Order order() const {
    return given().options.act_order ? by_diagonal(hessian_) : left_to_right(kColumns);
  }
};

TEST_P(EachCase, CodesAndLossAreTheFormulas) {
  const Expected formula = expected(order(), given().options);
  ASSERT_GT(formula.nearest_tie, 1e-9);  // so that every code can be asked for
  const GptqResult result = run(weight_, hessian_, given().spec, given().options);
  EXPECT_TRUE(at::equal(result.weight.codes.to(at::kDouble), formula.codes));
  EXPECT_NEAR(result.loss / formula.loss, 1, 1e-9);
}

TEST_P(EachCase, OtherOrderOrDampingOrScalesOrNoUpdateAreOtherCodes) {
  const GptqResult result = run(weight_, hessian_, given().spec, given().options);
  auto expect_other = [&](const at::Tensor& codes, const char* what) {
    EXPECT_FALSE(at::equal(result.weight.codes.to(at::kDouble), codes)) << what;
  };
  const GptqOptions& options = given().options;
  expect_other(
      expected(options.act_order ? left_to_right(kColumns) : by_diagonal(hessian_), options).codes,
      "the order of the other act_order");
  Order backwards = order();
  std::reverse(backwards.begin(), backwards.end());
  expect_other(expected(backwards, options).codes, "backwards");
  GptqOptions undamped = options;
  undamped.damping = 0;
  expect_other(expected(order(), undamped).codes, "no damping");
  if (given().spec.group != 0) {
    GptqOptions other = options;
    other.static_groups = !other.static_groups;
    expect_other(expected(order(), other).codes, "scales of the other static_groups");
  }
  expect_other(quantize_weight(weight_, given().spec, options.mse_clip, "w").codes.to(at::kDouble),
               "no update");
}

TEST_P(EachCase, LossIsTheOutputsErrorUnderTheDampedHessian) {
  const GptqResult result = run(weight_, hessian_, given().spec, given().options);
  const at::Tensor damped = hessian_ + given().options.damping * hessian_.diagonal().mean() *
                                           at::eye(kColumns, at::kDouble);
  const at::Tensor difference = weight_ - result.weight.dequantize(at::kDouble);
  EXPECT_NEAR(squared_output(damped, difference) / result.loss, 1, 1e-9);
}

TEST_P(EachCase, LosesLessThanRoundToNearest) {
  const GptqResult result = run(weight_, hessian_, given().spec, given().options);
  const QuantizedWeight nearest =
      quantize_weight(weight_, given().spec, given().options.mse_clip, "w");
  EXPECT_LT(squared_output(hessian_, weight_ - result.weight.dequantize(at::kDouble)),
            0.8 * squared_output(hessian_, weight_ - nearest.dequantize(at::kDouble)));
}

INSTANTIATE_TEST_SUITE_P(Gptq, EachCase, testing::Range<std::size_t>(0, 8));

TEST(Gptq, Float32LosesAsFloat64) {
  double in_float32 = 0, in_float64 = 0;
  for (const Case& each : cases()) {
    for (int seed : {30, 40}) {
      const at::Tensor weight = random_weight(seed).to(at::kFloat);
      const at::Tensor hessian = hessian_of(random_inputs(seed + 1)).to(at::kFloat);
      in_float32 += run(weight, hessian, each.spec, each.options).loss;
      in_float64 +=
          run(weight.to(at::kDouble), hessian.to(at::kDouble), each.spec, each.options).loss;
    }
  }
  EXPECT_NEAR(in_float32 / in_float64, 1, 1e-3);
}

// Within a block of columns; the products between blocks are BLAS's.
TEST(Gptq, ABlocksRowsDoNotDependOnThreads) {
  const at::Tensor weight = random({333, 96}, 70).to(at::kFloat);
  const at::Tensor hessian = hessian_of(random_inputs(71, 96)).to(at::kFloat);
  const GptqFactor factor = factor_hessian(hessian, {}, "H");
  const int before = at::get_num_threads();
  auto codes = [&](int threads) {
    at::set_num_threads(threads);
    return gptq(weight, factor, {4, 32, true, 1.0}, {}, "w").weight.codes;
  };
  const at::Tensor one = codes(1), three = codes(3);
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(one, three));
}

TEST(Gptq, DiagonalHessianIsRoundToNearestToTheBit) {
  for (at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const at::Tensor hessian = random({kColumns}, 50).square().add(0.01).diag().to(dtype);
    const at::Tensor weight = random_weight(51).to(dtype);
    for (const Case& each : cases()) {
      const QuantizedWeight found = run(weight, hessian, each.spec, each.options).weight;
      const QuantizedWeight nearest =
          quantize_weight(weight, each.spec, each.options.mse_clip, "w");
      EXPECT_TRUE(at::equal(found.codes, nearest.codes));
      EXPECT_TRUE(at::equal(found.scales, nearest.scales));
      ASSERT_EQ(found.zeros.defined(), nearest.zeros.defined());
      if (found.zeros.defined()) {
        EXPECT_TRUE(at::equal(found.zeros, nearest.zeros));
      }
      EXPECT_TRUE(at::equal(found.dequantize(dtype), nearest.dequantize(dtype)));
    }
  }
}

TEST(Gptq, DeadColumnsBecomeZeroAndDoNotDisturb) {
  at::Tensor inputs = random_inputs(60);
  const at::Tensor dead = at::tensor({0, 5, 131}, at::kLong);
  inputs.index_fill_(1, dead, 0);
  const at::Tensor hessian = hessian_of(inputs), weight = random_weight(61);
  for (bool symmetric : {true, false}) {
    const QuantSpec spec = bits(4, 0, symmetric);
    const GptqResult result = run(weight, hessian, spec, {});
    const at::Tensor values = result.weight.dequantize(at::kDouble);
    EXPECT_EQ(values.index_select(1, dead).abs().max().item<double>(), 0);
    const Expected formula = by_formula(weight, hessian, spec, {}, left_to_right(kColumns));
    EXPECT_TRUE(at::equal(result.weight.codes.to(at::kDouble), formula.codes));
    EXPECT_NEAR(result.loss / formula.loss, 1, 1e-9);
  }
}

/// I - (1 + depth) u u^T with a unit vector u: one eigenvalue is -depth.
at::Tensor indefinite(double depth) {
  const at::Tensor u = at::full({32}, 1 / std::sqrt(32.0), at::kDouble);
  return at::eye(32, at::kDouble) - (1 + depth) * u.outer(u);
}

TEST(Gptq, DampingIsRaisedTenfoldUpToThreeTimes) {
  auto damping = [](double depth) { return factor_hessian(indefinite(depth), {}, "H").damping; };
  EXPECT_DOUBLE_EQ(damping(-0.5), 0.01);
  EXPECT_DOUBLE_EQ(damping(0.05), 0.1);
  EXPECT_DOUBLE_EQ(damping(0.5), 1);
  EXPECT_DOUBLE_EQ(damping(5), 10);
  const std::string text = test::error_of([&] { damping(20); });
  EXPECT_THAT(text, HasSubstr("H"));
  EXPECT_THAT(text, HasSubstr("no Cholesky factor, with damping raised to 10"));
}

TEST(Gptq, RaisedDampingIsWhatTheCodesCameFrom) {
  const at::Tensor weight = random_weight(62, 32), hessian = indefinite(0.05);
  const GptqResult result = run(weight, hessian, bits(3), {});
  const Expected formula =
      by_formula(weight, hessian, bits(3), {.damping = 0.1}, left_to_right(32));
  EXPECT_TRUE(at::equal(result.weight.codes.to(at::kDouble), formula.codes));
}

TEST(Gptq, NotFiniteNamesTheTensor) {
  at::Tensor hessian = hessian_of(random_inputs(70));
  at::Tensor weight = random_weight(71);
  hessian[3][4] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(test::error_of([&] { factor_hessian(hessian, {}, "Hessian of x"); }),
              testing::AllOf(HasSubstr("Hessian of x"), HasSubstr("NaN at index [3, 4]")));
  const GptqFactor factor = factor_hessian(hessian_of(random_inputs(70)), {}, "H");
  weight[2][150] = std::numeric_limits<double>::infinity();
  EXPECT_THAT(test::error_of([&] { gptq(weight, factor, bits(4, 32), {}, "o.weight"); }),
              testing::AllOf(HasSubstr("o.weight"), HasSubstr("infinity at index [2, 150]")));
}

TEST(Gptq, GroupThatDoesNotDivideIsAnError) {
  EXPECT_THAT(
      test::error_of([] { run(random_weight(1), hessian_of(random_inputs(2)), bits(4, 33), {}); }),
      HasSubstr("group 33"));
}

TEST(Gptq, SquaredOutputIsThatOfTheInputs) {
  const at::Tensor inputs = random_inputs(80), difference = random_weight(81);
  const double direct = inputs.matmul(difference.t()).square().sum().item<double>() * (2.0 / 8.0);
  EXPECT_NEAR(squared_output(hessian_of(inputs), difference) / direct, 1, 1e-12);
}

// AutoGPTQ's own routine on the same Hessian and weight: tests/golden/gptq/generate.py.
TEST(Gptq, CodesAreAutoGptqs) {
  const auto golden = nlohmann::json::parse(test::read_file(test::golden("gptq/golden.json")));
  const SafetensorsFile tensors(test::golden("gptq/golden.safetensors"));
  const at::Tensor hessian = tensors.load("hessian").to(at::kDouble);
  const at::Tensor weight = tensors.load("weight").to(at::kDouble);
  const at::Tensor without_dead = weight.masked_fill(hessian.diagonal() == 0, 0);
  ASSERT_EQ(golden["cases"].size(), 7u);
  for (std::size_t i = 0; i < golden["cases"].size(); ++i) {
    const auto& each = golden["cases"][i];
    const GptqOptions options{
        .mse_clip = each["mse"], .act_order = each["act_order"], .static_groups = each["static"]};
    const QuantizedWeight found = run(options.static_groups ? without_dead : weight, hessian,
                                      bits(each["bits"], each["group"], false), options)
                                      .weight;
    const std::string number = fmt::format(".{}", i);
    EXPECT_TRUE(at::equal(found.codes, tensors.load("codes" + number))) << each;
    EXPECT_TRUE(at::allclose(found.scales, tensors.load("scales" + number), 1e-9, 0)) << each;
    EXPECT_TRUE(at::equal(found.zeros, tensors.load("zeros" + number))) << each;
  }
}

}  // namespace
}  // namespace harness
