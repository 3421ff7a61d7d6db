#include "harness/kernels/transformer_ops.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

// The passes over memory against the same formulas in float64.

namespace harness::test {
namespace {

// One rounding of the result and, for bfloat16, one before the last product.
class TransformerOps : public testing::TestWithParam<std::pair<at::ScalarType, double>> {
 protected:
  at::Tensor random(at::IntArrayRef shape) const { return (at::randn(shape) * 3).to(dtype_); }
  void expect_close(const at::Tensor& found, const at::Tensor& expected) const {
    EXPECT_EQ(found.scalar_type(), dtype_);
    EXPECT_TRUE(at::allclose(found.to(at::kDouble), expected, tolerance_, tolerance_));
  }
  static at::Tensor wide(const at::Tensor& x) { return x.to(at::kDouble); }

  const c10::InferenceMode inference_;
  const at::ScalarType dtype_ = GetParam().first;
  const double tolerance_ = GetParam().second;
};

TEST_P(TransformerOps, RmsNormDividesByTheRootMeanSquare) {
  for (std::int64_t columns : {1, 15, 16, 100}) {
    const at::Tensor x = random({3, 7, columns}), weight = random({columns});
    const at::Tensor scale = (wide(x).square().mean(-1, true) + 1e-3).rsqrt();
    expect_close(rms_norm(x, weight, 1e-3), wide(x) * scale * wide(weight));
  }
}

TEST_P(TransformerOps, SwigluIsSiluOfGateTimesUp) {
  at::Tensor gate = random({5, 33});
  const at::Tensor up = random({5, 33});
  const double extremes[] = {0.0, -200.0, 200.0, -88.0, 88.0, 1e-30};
  for (int i = 0; i < 6; ++i) gate[0][i] = extremes[i];
  const at::Tensor expected = wide(gate) * wide(gate).sigmoid() * wide(up);
  expect_close(swiglu(gate, up), expected);
}

TEST_P(TransformerOps, NanAndInfinityPassThrough) {
  at::Tensor gate = at::zeros({1, 16}, dtype_);
  gate[0][3] = std::numeric_limits<double>::quiet_NaN();
  gate[0][4] = std::numeric_limits<double>::infinity();
  const at::Tensor y = swiglu(gate, at::ones({1, 16}, dtype_));
  EXPECT_TRUE(y[0][3].isnan().item<bool>());
  EXPECT_TRUE(y[0][4].isinf().item<bool>());
  EXPECT_EQ(y[0][5].item<double>(), 0);
}

TEST_P(TransformerOps, RotationTurnsTheHalvesOfEachHead) {
  const at::Tensor x = random({2, 5, 3, 12}).transpose(1, 2);  // strided: heads inside tokens
  const at::Tensor angles = at::randn({5, 6}, dtype_ == at::kDouble ? at::kDouble : at::kFloat);
  const at::Tensor cos = wide(angles.cos()), sin = wide(angles.sin());
  const at::Tensor a = wide(x).slice(-1, 0, 6), b = wide(x).slice(-1, 6);
  const at::Tensor expected = at::cat({a * cos - b * sin, b * cos + a * sin}, -1);
  expect_close(rotate_halves(x, angles.cos(), angles.sin()), expected);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, TransformerOps,
                         testing::Values(std::pair(at::kDouble, 1e-12), std::pair(at::kFloat, 2e-6),
                                         std::pair(at::kHalf, 4e-3),
                                         std::pair(at::kBFloat16, 2e-2)));

}  // namespace
}  // namespace harness::test
