#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "harness/kernels/ops.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using testing::HasSubstr;

QuantSpec asymmetric(int bits, std::int64_t group = 0, double clip = 1.0) {
  return {bits, group, false, clip};
}
QuantSpec symmetric(int bits, std::int64_t group = 0, double clip = 1.0) {
  return {bits, group, true, clip};
}

at::Tensor random(at::IntArrayRef shape, std::uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::kFloat);
}

TEST(FakeQuantize, TiesRoundToEven) {
  // min 0, max 15: the step is 1 and the zero point 0.
  const at::Tensor x = at::tensor({0.0f, 0.5f, 1.5f, 2.5f, 3.5f, 14.5f, 15.0f});
  const at::Tensor expected = at::tensor({0.0f, 0.0f, 2.0f, 2.0f, 4.0f, 14.0f, 15.0f});
  EXPECT_TRUE(at::equal(fake_quantize(x, asymmetric(4), "x"), expected));
}

TEST(FakeQuantize, ZeroPointRoundsToEvenToo) {
  // Step 1; -min / step is 2.5, so the zero point is 2 and the smallest value is -2.
  const at::Tensor y = fake_quantize(at::tensor({-2.5f, 0.0f, 12.5f}), asymmetric(4), "x");
  EXPECT_TRUE(at::equal(y, at::tensor({-2.0f, 0.0f, 12.0f})));
}

TEST(FakeQuantize, SymmetricUsesTheLargestMagnitude) {
  // max 7 of 4 bits: step 1, codes -8 .. 7.
  const at::Tensor y = fake_quantize(at::tensor({-7.0f, 0.4f, 2.5f, 6.6f}), symmetric(4), "x");
  EXPECT_TRUE(at::equal(y, at::tensor({-7.0f, 0.0f, 2.0f, 7.0f})));
}

TEST(FakeQuantize, ClipNarrowsTheGrid) {
  // max 8 clipped to 7: step 1, and 8 becomes 7.
  const at::Tensor y = fake_quantize(at::tensor({8.0f, 3.2f, -1.0f}), symmetric(4, 0, 0.875), "x");
  EXPECT_TRUE(at::equal(y, at::tensor({7.0f, 3.0f, -1.0f})));
}

TEST(FakeQuantize, GroupsHaveGridsOfTheirOwn) {
  const at::Tensor x = at::tensor({0.0f, 7.5f, 15.0f, 0.0f, 75.0f, 150.0f});
  const at::Tensor y = fake_quantize(x.view({1, 6}), asymmetric(4, 3), "x");
  EXPECT_TRUE(at::equal(y, at::tensor({0.0f, 8.0f, 15.0f, 0.0f, 80.0f, 150.0f}).view({1, 6})));
}

TEST(FakeQuantize, AllZeroRowsStayZero) {
  for (const QuantSpec& spec : {asymmetric(4), symmetric(4)})
    for (at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
      const at::Tensor x = at::zeros({3, 37}, dtype);
      EXPECT_TRUE(at::equal(fake_quantize(x, spec, "x"), x));
    }
}

TEST(FakeQuantize, OneValueRowsAreExactlyRepresented) {
  for (float value : {3.0f, -3.0f, 1e-3f, -1e30f}) {
    const at::Tensor y = fake_quantize(at::full({2, 1}, value), asymmetric(4), "x");
    EXPECT_NEAR(y[0][0].item<float>() / value, 1.0, 1e-6) << value;
  }
}

TEST(FakeQuantize, ConstantRowsAreExactlyRepresented) {
  const at::Tensor y = fake_quantize(at::full({2, 50}, -0.75f), asymmetric(4), "x");
  EXPECT_TRUE(at::allclose(y, at::full({2, 50}, -0.75f), 2e-6, 0));
}

TEST(FakeQuantize, ErrorIsAtMostHalfAStepAndTheZeroPointsRounding) {
  const at::Tensor x = random({64, 96}, 5);
  for (int bits = 2; bits <= 8; ++bits) {
    const at::Tensor step = (x.amax(-1) - x.amin(-1)) / ((1 << bits) - 1);
    const at::Tensor error = (fake_quantize(x, asymmetric(bits), "x") - x).abs().amax(-1);
    EXPECT_LE((error / step).max().item<float>(), 1.0001f) << bits;
    EXPECT_GT((error / step).max().item<float>(), 0.3f) << bits;
  }
}

TEST(FakeQuantize, HugeRangesStayFinite) {
  const float huge = std::numeric_limits<float>::max();
  for (const QuantSpec& spec : {asymmetric(2), asymmetric(4), asymmetric(8), symmetric(2),
                                symmetric(4), asymmetric(4, 0, 0.9)}) {
    for (const at::Tensor& x :
         {at::tensor({huge, -huge, 1.0f, huge / 3}), at::tensor({huge, -huge / 5, -huge / 7, 0.0f}),
          at::tensor({-huge, -huge, 0.0f, 2.0f})})
      EXPECT_TRUE(at::isfinite(fake_quantize(x, spec, "x")).all().item<bool>());
    for (at::ScalarType dtype : {at::kHalf, at::kBFloat16}) {
      const double top = dtype == at::kHalf ? 65504.0 : 3.38953139e38;
      for (double low : {-1.0, -0.43, -0.1, -0.03}) {
        const at::Tensor x =
            at::tensor({top, top * low, top * low / 2, 0.0}, at::kDouble).to(dtype);
        ASSERT_TRUE(at::isfinite(x).all().item<bool>());
        EXPECT_TRUE(at::isfinite(fake_quantize(x, spec, "x")).all().item<bool>()) << low;
      }
    }
  }
}

TEST(FakeQuantize, HugeRangesKeepTheirExtremes) {
  const float huge = std::numeric_limits<float>::max();
  const at::Tensor y = fake_quantize(at::tensor({huge, -huge, 0.0f}), asymmetric(8), "x");
  EXPECT_NEAR(y[0].item<float>() / huge, 1.0, 0.01);
  EXPECT_NEAR(y[1].item<float>() / huge, -1.0, 0.01);
}

TEST(FakeQuantize, SubnormalRowsVanishOnTheFloorOfTheStep) {
  const at::Tensor x = at::tensor({1e-40f, -3e-42f, 1e-45f});
  EXPECT_TRUE(at::equal(fake_quantize(x, asymmetric(4), "x"), at::zeros({3})));
}

TEST(FakeQuantize, SixteenBitsIsTheSameTensor) {
  const at::Tensor x = at::tensor({1.0f, std::numeric_limits<float>::quiet_NaN()});
  EXPECT_TRUE(fake_quantize(x, asymmetric(16), "x").is_same(x));
}

TEST(FakeQuantize, EveryDenseLayoutGivesTheSameValues) {
  const at::Tensor x = random({2, 5, 3, 8}, 6);
  const at::Tensor expected = fake_quantize(x, asymmetric(4), "x");
  const at::Tensor transposed = x.transpose(1, 2).contiguous().transpose(1, 2);
  ASSERT_FALSE(transposed.is_contiguous());
  EXPECT_TRUE(at::equal(fake_quantize(transposed, asymmetric(4), "x"), expected));
  const at::Tensor gapped = at::cat({x, x}, -1).slice(-1, 0, 8);
  EXPECT_TRUE(at::equal(fake_quantize(gapped, asymmetric(4), "x"), expected));
  const at::Tensor expanded = x.select(1, 0).unsqueeze(1).expand({2, 5, 3, 8});
  EXPECT_TRUE(
      at::equal(fake_quantize(expanded, asymmetric(4), "x").select(1, 4), expected.select(1, 0)));
}

TEST(FakeQuantize, ThreadsDoNotChangeTheValues) {
  const at::Tensor x = random({512, 512}, 7);
  const at::Tensor whole = fake_quantize(x, asymmetric(4, 64), "x");
  for (std::int64_t row : {0, 100, 511})
    EXPECT_TRUE(at::equal(fake_quantize(x[row], asymmetric(4, 64), "x"), whole[row]));
}

TEST(FakeQuantize, NanAndInfinityNameTheTensorAndTheIndex) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::pair<float, const char*> kinds[] = {{std::numeric_limits<float>::quiet_NaN(), "NaN"},
                                                 {infinity, "infinity"},
                                                 {-infinity, "-infinity"}};
  for (const auto& [value, name] : kinds)
    for (at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf})
      for (int column : {0, 15, 16, 36}) {
        at::Tensor x = at::ones({4, 37}, dtype);
        x[2][column] = value;
        x[3][5] = value;
        const std::string text =
            test::error_of([&] { fake_quantize(x, asymmetric(4), "layer 3, input of down"); });
        EXPECT_THAT(text, HasSubstr("layer 3, input of down"));
        EXPECT_THAT(text, HasSubstr(name));
        EXPECT_THAT(text, HasSubstr("[2, " + std::to_string(column) + "]"));
      }
}

TEST(FakeQuantize, GroupThatDoesNotDivideIsAnError) {
  const std::string text = test::error_of([] {
    fake_quantize(at::ones({2, 10}), asymmetric(4, 4), "K of layer 0");
  });
  EXPECT_THAT(text, HasSubstr("K of layer 0"));
  EXPECT_THAT(text, HasSubstr("group 4 with 10 features"));
}

TEST(FakeQuantize, UnsupportedBitsClipAndDtypeAreErrors) {
  EXPECT_THAT(test::error_of([] { fake_quantize(at::ones({2}), asymmetric(1), "x"); }),
              HasSubstr("2 to 8 bits"));
  EXPECT_THAT(test::error_of([] { fake_quantize(at::ones({2}), asymmetric(9), "x"); }),
              HasSubstr("9 bits"));
  EXPECT_THAT(test::error_of([] { fake_quantize(at::ones({2}), asymmetric(4, 0, 0.0), "x"); }),
              HasSubstr("clip 0"));
  EXPECT_THAT(test::error_of([] { fake_quantize(at::ones({2}, at::kLong), asymmetric(4), "x"); }),
              HasSubstr("Long"));
}

TEST(FakeQuantize, EmptyTensorsPass) {
  EXPECT_EQ(fake_quantize(at::zeros({0, 8}), asymmetric(4), "x").numel(), 0);
}

TEST(QuantizeWeight, SymmetricCoversBothExtremesWithTheSmallestStep) {
  // Codes -8 .. 7: -16 needs a step of 2, 7 alone one of 1.
  const at::Tensor w = at::tensor({-16.0f, 7.0f, 1.0f, -7.0f, 7.0f, 0.5f}).view({2, 3});
  const QuantizedWeight q = quantize_weight(w, symmetric(4), false, "w");
  EXPECT_TRUE(at::equal(q.scales, at::tensor({2.0f, 1.0f}).view({2, 1})));
  EXPECT_TRUE(at::equal(q.codes, at::tensor({-8, 4, 0, -7, 7, 0}, at::kChar).view({2, 3})));
  EXPECT_FALSE(q.zeros.defined());
  EXPECT_TRUE(at::equal(q.dequantize(at::kFloat),
                        at::tensor({-16.0f, 8.0f, 0.0f, -7.0f, 7.0f, 0.0f}).view({2, 3})));
}

TEST(QuantizeWeight, AsymmetricHoldsCodesAndZeroPoints) {
  const at::Tensor w = at::tensor({-3.0f, 12.0f, 0.0f, 1.0f}).view({1, 4});
  const QuantizedWeight q = quantize_weight(w, asymmetric(4), false, "w");
  EXPECT_TRUE(at::equal(q.codes, at::tensor({0, 15, 3, 4}, at::kByte).view({1, 4})));
  EXPECT_EQ(q.zeros.item<float>(), 3.0f);
  EXPECT_EQ(q.scales.item<float>(), 1.0f);
  EXPECT_TRUE(at::equal(q.dequantize(at::kFloat), w));
}

TEST(QuantizeWeight, AsymmetricEqualsTheActivationQuantizer) {
  for (at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
    const at::Tensor w = random({9, 96}, 8).to(dtype);
    const at::Tensor dequantized =
        quantize_weight(w, asymmetric(3, 32), false, "w").dequantize(dtype);
    EXPECT_TRUE(at::equal(dequantized, fake_quantize(w, asymmetric(3, 32), "w")));
  }
}

TEST(QuantizeWeight, MseClippingPaysForRareExtremes) {
  const at::Tensor w = random({8, 1024}, 9);
  auto error = [&](bool mse_clip) {
    return (quantize_weight(w, symmetric(3), mse_clip, "w").dequantize(at::kFloat) - w)
        .abs()
        .pow(2.4)
        .sum(1);
  };
  EXPECT_TRUE((error(true) <= error(false)).all().item<bool>());
  EXPECT_LT(error(true).sum().item<float>(), 0.9f * error(false).sum().item<float>());
}

TEST(QuantizeWeight, MseClippingKeepsTheFirstOfEqualRatios) {
  // All-zero rows have no error at any ratio: the unclipped scale stays.
  const at::Tensor w = at::zeros({2, 20});
  EXPECT_TRUE(at::equal(quantize_weight(w, symmetric(4), true, "w").scales,
                        quantize_weight(w, symmetric(4), false, "w").scales));
}

TEST(QuantizeWeight, MseClippingWorksAtEveryMagnitude) {
  const at::Tensor w = random({4, 64}, 10);
  const at::Tensor codes = quantize_weight(w, symmetric(4), true, "w").codes;
  // Powers of two scale every step of the arithmetic exactly.
  for (double power : {0x1p-10, 0x1p100, 0x1p120})
    EXPECT_TRUE(at::equal(quantize_weight(w * power, symmetric(4), true, "w").codes, codes))
        << power;
}

TEST(QuantizeWeight, NanNamesTheTensorAndTheIndex) {
  at::Tensor w = at::ones({3, 20}, at::kBFloat16);
  w[1][17] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(test::error_of([&] { quantize_weight(w, symmetric(4), true, "layers.0.q.weight"); }),
              testing::AllOf(HasSubstr("layers.0.q.weight"), HasSubstr("NaN at index [1, 17]")));
}

TEST(QuantizeWeight, SixteenBitsIsAnError) {
  EXPECT_THAT(test::error_of([] {
                quantize_weight(at::ones({2, 2}), symmetric(16), false, "w");
              }),
              HasSubstr("16 bits"));
}

TEST(CpuImplementation, HasAName) {
  EXPECT_THAT(cpu_implementation(), testing::AnyOf(testing::StrEq("avx512"), testing::StrEq("avx2"),
                                                   testing::StrEq("portable")));
}

}  // namespace
}  // namespace harness
