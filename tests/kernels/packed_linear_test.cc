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

TEST(PackedLinear, OfFloat32ItIsForLargeWeightsAndFewRows) {
  const c10::InferenceMode inference;
  EXPECT_FALSE(can_pack_for_few_rows(at::randn({4, 4})));
  const at::Tensor weight = at::randn({512, 512});
  EXPECT_FALSE(can_pack_for_few_rows(weight.to(at::kBFloat16)));
  if (!can_pack_for_few_rows(weight)) GTEST_SKIP() << "no AVX-512";
  const at::Tensor packed = pack_weight(weight);
  for (const std::int64_t rows : {4, 7, 256}) {
    const at::Tensor x = at::randn({rows, 512});
    EXPECT_TRUE(packed_is_faster(x));
    const at::Tensor exact = at::linear(x.to(at::kDouble), weight.to(at::kDouble));
    EXPECT_LT((packed_linear(x, packed, {}).to(at::kDouble) - exact).abs().max().item<double>(),
              1e-3);
  }
  for (const std::int64_t rows : {1, 3, 257})
    EXPECT_FALSE(packed_is_faster(at::randn({rows, 512}))) << rows;
}

TEST(PackedLinear, WhateverTheRowsItIsForBfloat16Only) {
  EXPECT_FALSE(can_pack(at::randn({4, 4})));
  EXPECT_FALSE(can_pack(at::randn({4, 4}).to(at::kHalf)));
}

}  // namespace
}  // namespace harness::test
