#include "harness/kernels/integer_linear.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "harness/kernels/integer_cpu.h"

namespace harness::test {
namespace {

using namespace kernels;

/// What the tiles of x [rows, steps * 64] hold.
at::Tensor in_tiles(const at::Tensor& x) {
  const std::int64_t blocks = (x.size(0) + kTileRows - 1) / kTileRows;
  return at::constant_pad_nd(x, {0, 0, 0, blocks * kTileRows - x.size(0)})
      .view({blocks, kTileRows, -1, kStepInputs})
      .transpose(1, 2)
      .contiguous();
}

/// The panel of w [32, steps * 64].
at::Tensor in_panel(const at::Tensor& w) {
  return w.view({2, 16, -1, 16, 4}).permute({2, 0, 3, 1, 4}).contiguous();
}

TEST(IntegerKernels, SumAsInt64DoesAtTheExtremesToo) {
  at::manual_seed(0);
  for (const bool extreme : {false, true})
    for (const std::int64_t steps : {1, 3, 64})
      for (const std::int64_t rows : {1, 7, 16, 17, 31, 32}) {
        const std::int64_t inputs = steps * kStepInputs;
        const at::Tensor x = extreme ? at::full({rows, inputs}, 255, at::kByte)
                                     : at::randint(256, {rows, inputs}, at::kByte);
        const at::Tensor w = extreme ? at::full({kPanelOutputs, inputs}, -128, at::kChar)
                                     : at::randint(-128, 128, {kPanelOutputs, inputs}, at::kChar);
        const at::Tensor exact = x.to(at::kLong).matmul(w.to(at::kLong).t());
        const at::Tensor tiles = in_tiles(x), panel = in_panel(w);
        for (const IntegerKernel* kernel : supported_integer_kernels()) {
          at::Tensor sums = at::empty({kProductRows, kPanelOutputs}, at::kInt);
          kernel->begin();
          kernel->product(tiles.const_data_ptr<std::uint8_t>(), steps * kTileBytes, rows,
                          panel.const_data_ptr<std::int8_t>(), steps,
                          sums.mutable_data_ptr<std::int32_t>());
          kernel->end();
          EXPECT_TRUE(at::equal(sums.slice(0, 0, rows).to(at::kLong), exact))
              << kernel->name << ", " << steps << " steps, " << rows << " rows";
        }
      }
}

struct Case {
  QuantSpec x, w;
  std::int64_t rows, inputs, outputs;
  bool bias;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{8, 0, false, 1.0}, {8, 0, true, 1.0}, 33, 576, 192, false},
      {{4, 0, false, 1.0}, {4, 0, true, 1.0}, 5, 1536, 40, true},
      {{8, 0, true, 0.9}, {4, 0, false, 1.0}, 16, 96, 32, true},
      {{2, 0, true, 1.0}, {3, 0, false, 1.0}, 1, 30, 7, false},
      {{8, 0, false, 1.0}, {4, 128, true, 1.0}, 40, 512, 64, true},
      {{4, 24, false, 1.0}, {8, 0, false, 1.0}, 9, 96, 33, false},
      {{6, 32, true, 1.0}, {5, 48, false, 1.0}, 18, 192, 10, true},
      {{8, 0, false, 1.0}, {8, 0, false, 1.0}, 300, 4096, 65, false},
  };
  return all;
}

/// A Linear both ways.
struct Both {
  at::Tensor x, integer;
  at::Tensor simulated_x, simulated_w, bias;  // float64, of values that were rounded to float32
};

std::int64_t group_of(const QuantSpec& spec, std::int64_t inputs) {
  return spec.group == 0 ? inputs : spec.group;
}

Both run(const Case& c, at::ScalarType dtype) {
  at::manual_seed(1);
  Both both;
  both.x = (at::randn({2, c.rows, c.inputs}) + 0.3).to(dtype);
  const at::Tensor weight = at::randn({c.outputs, c.inputs}) * 0.1;
  const QuantizedWeight quantized = quantize_weight(weight, c.w, false, "w");
  const auto bias =
      c.bias ? std::optional(at::randn({c.outputs}).to(dtype)) : std::optional<at::Tensor>();
  const std::int64_t segment = std::gcd(group_of(c.x, c.inputs), group_of(c.w, c.inputs));
  both.integer = integer_linear(integer_input(both.x, c.x, segment, "x"),
                                integer_weight(quantized, bias, segment));
  // In float32, whatever the input's dtype: its codes are integers' own.
  both.simulated_x = fake_quantize(both.x.to(at::kFloat), c.x, "x").to(at::kDouble);
  both.simulated_w = quantized.dequantize(at::kFloat).to(at::kDouble);
  both.bias = bias ? bias->to(at::kDouble) : at::zeros({c.outputs}, at::kDouble);
  return both;
}

// The factors of the simulated product are rounded twice each (their difference and its product
// with the scale; codes and zeros are exact), the integer one's result four times a segment, and
// its sum over segments and the bias once a segment.
TEST(IntegerLinear, EqualsFakeQuantizationInFloat32UpToItsRoundings) {
  const c10::InferenceMode inference;
  for (const Case& c : cases()) {
    const Both both = run(c, at::kFloat);
    const at::Tensor exact = at::linear(both.simulated_x, both.simulated_w) + both.bias;
    const at::Tensor magnitude =
        at::linear(both.simulated_x.abs(), both.simulated_w.abs()) + both.bias.abs();
    const double segments =
        static_cast<double>(c.inputs / std::gcd(group_of(c.x, c.inputs), group_of(c.w, c.inputs)));
    const double unit = 0x1p-24;
    EXPECT_EQ(both.integer.sizes(), exact.sizes());
    const at::Tensor excess =
        (both.integer.to(at::kDouble) - exact).abs() - (6 + segments) * unit * magnitude;
    EXPECT_LE(excess.max().item<double>(), 0)
        << "W" << c.w.bits << "A" << c.x.bits << ", " << c.inputs << " inputs";
    // And the product that it stands for, with its own roundings.
    const at::Tensor simulated = at::linear(
        both.simulated_x.to(at::kFloat), both.simulated_w.to(at::kFloat), both.bias.to(at::kFloat));
    const at::Tensor apart = (both.integer - simulated).abs().to(at::kDouble) -
                             (7 + segments + static_cast<double>(c.inputs)) * unit * magnitude;
    EXPECT_LE(apart.max().item<double>(), 0);
  }
}

TEST(IntegerLinear, RoundsOnceToTheInputsDtype) {
  const c10::InferenceMode inference;
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf})
    for (const Case& c : cases()) {
      const Both both = run(c, dtype);
      EXPECT_EQ(both.integer.scalar_type(), dtype);
      const at::Tensor exact = at::linear(both.simulated_x, both.simulated_w) + both.bias;
      const double unit = dtype == at::kHalf ? 0x1p-11 : 0x1p-8;
      EXPECT_TRUE(at::allclose(both.integer.to(at::kDouble), exact, 1.01 * unit, 2e-5));
    }
}

TEST(IntegerLinear, DoesNotDependOnThreads) {
  const c10::InferenceMode inference;
  const int threads = at::get_num_threads();
  for (const Case& c : cases()) {
    at::set_num_threads(1);
    const at::Tensor one = run(c, at::kBFloat16).integer;
    at::set_num_threads(3);
    EXPECT_TRUE(at::equal(one, run(c, at::kBFloat16).integer));
  }
  at::set_num_threads(threads);
}

TEST(IntegerLinear, OfNoRowsIsEmpty) {
  const IntegerWeight weight =
      integer_weight(quantize_weight(at::randn({8, 16}), {4, 0, true, 1.0}, false, "w"), {}, 16);
  const IntegerInput input = integer_input(at::empty({0, 16}), {4, 0, false, 1.0}, 16, "x");
  EXPECT_EQ(integer_linear(input, weight).sizes(), at::IntArrayRef({0, 8}));
}

TEST(IntegerLinear, NamesAnInputThatIsNotFinite) {
  at::Tensor x = at::zeros({3, 32});
  x[2][5] = std::numeric_limits<float>::infinity();
  try {
    integer_input(x, {8, 0, false, 1.0}, 32, "layer 3, input of down");
    FAIL() << "no error";
  } catch (const NotFinite& error) {
    EXPECT_NE(std::string(error.what()).find("layer 3, input of down"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("[2, 5]"), std::string::npos);
  }
}

TEST(IntegerLinear, SumsFitWhereTheLargestDifferencesDo) {
  const QuantSpec symmetric{8, 0, true, 1.0}, asymmetric{8, 0, false, 1.0};
  EXPECT_TRUE(integer_sums_fit(33025, asymmetric, asymmetric));  // 255 * 255 * 33025 < 2^31
  EXPECT_FALSE(integer_sums_fit(33026, asymmetric, asymmetric));
  EXPECT_TRUE(integer_sums_fit(65793, asymmetric, symmetric));
  EXPECT_FALSE(integer_sums_fit(65794, asymmetric, symmetric));
}

}  // namespace
}  // namespace harness::test
