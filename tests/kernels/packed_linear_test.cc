#include "harness/kernels/packed_linear.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

namespace harness::test {
namespace {

TEST(PackedLinear, EqualsTheProductInFloat64) {
  const c10::InferenceMode inference;
  const at::Tensor weight = at::randn({160, 96}).to(at::kBFloat16);
  if (!can_pack(weight)) GTEST_SKIP() << "no AVX-512";
  const at::Tensor packed = pack_weight(weight);
  const at::Tensor bias = at::randn({160}).to(at::kBFloat16);
  for (const std::int64_t rows : {1, 7, 2048}) {
    const at::Tensor x = at::randn({2, rows, 96}).to(at::kBFloat16);
    for (const bool with_bias : {false, true}) {
      const auto b = with_bias ? std::optional(bias) : std::nullopt;
      const at::Tensor y = packed_linear(x, packed, b);
      at::Tensor exact = at::linear(x.to(at::kDouble), weight.to(at::kDouble));
      if (b) exact = exact + b->to(at::kDouble);
      EXPECT_EQ(y.scalar_type(), at::kBFloat16);
      // One rounding to 8 bits, of sums whose terms have sd 1.
      EXPECT_TRUE(at::allclose(y.to(at::kDouble), exact, 1.0 / 128, 1e-3)) << rows;
    }
  }
}

TEST(PackedLinear, IsForBfloat16Only) {
  EXPECT_FALSE(can_pack(at::randn({4, 4})));
  EXPECT_FALSE(can_pack(at::randn({4, 4}).to(at::kHalf)));
}

}  // namespace
}  // namespace harness::test
