// CUDA against the CPU: the same bits where nothing is said, else a bound. Skips where there is no
// GPU (or a build without CUDA).

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "harness/kernels/divergence.h"
#include "harness/kernels/hadamard.h"
#include "harness/kernels/ops.h"
#include "harness/kernels/straight_through.h"
#include "harness/kernels/transformer_ops.h"
#include "harness/quant/gptq.h"
#include "tests/kernels/divergence_reference.h"
#include "tests/support/support.h"

namespace harness {
namespace {

constexpr at::ScalarType kDtypes[] = {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf};

class CudaKernels : public testing::Test {
 protected:
  void SetUp() override {
    if (!at::hasCUDA()) GTEST_SKIP() << "needs a CUDA device and a build linked with CUDA";
  }
};

at::Tensor random(at::IntArrayRef shape, std::uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::kFloat) * 3.0;
}

TEST_F(CudaKernels, FakeQuantizeGivesTheBitsOfTheCpu) {
  for (at::ScalarType dtype : kDtypes)
    for (bool symmetric : {false, true})
      for (std::int64_t width : {1, 31, 64, 576, 2048, 2049, 5000})
        for (int bits : {2, 4, 8}) {
          const QuantSpec spec{bits, 0, symmetric, 0.95};
          const at::Tensor x = random({17, width}, 1).to(dtype);
          EXPECT_TRUE(at::equal(fake_quantize(x.to(at::kCUDA), spec, "x").cpu(),
                                fake_quantize(x, spec, "x")))
              << c10::toString(dtype) << ", width " << width << ", bits " << bits;
        }
}

TEST_F(CudaKernels, QuantizeWeightGivesTheBitsOfTheCpu) {
  for (at::ScalarType dtype : kDtypes)
    for (bool symmetric : {false, true})
      for (bool mse_clip : {false, true})
        for (std::int64_t group : {0, 37, 370}) {
          const QuantSpec spec{4, group, symmetric, 1.0};
          const at::Tensor w = random({9, 3700}, 2).to(dtype);
          const QuantizedWeight found = quantize_weight(w.to(at::kCUDA), spec, mse_clip, "w");
          const QuantizedWeight expected = quantize_weight(w, spec, mse_clip, "w");
          EXPECT_TRUE(at::equal(found.codes.cpu(), expected.codes));
          EXPECT_TRUE(at::equal(found.scales.cpu(), expected.scales));
          EXPECT_TRUE(at::equal(found.dequantize(dtype).cpu(), expected.dequantize(dtype)));
        }
}

TEST_F(CudaKernels, TheCheckNamesTheFirstTensorThatIsNotFinite) {
  const c10::InferenceMode inference;
  const at::Tensor good =
      at::ones({4, 5000}, at::TensorOptions(at::kBFloat16).device(at::kCUDA, 0));
  at::Tensor bad = good.clone();
  bad[2][4321] = std::numeric_limits<float>::quiet_NaN();
  const QuantSpec spec{4, 0, false, 1.0};
  auto check = [&] { check_quantized(good.device()); };
  for (const auto& quantize : std::vector<std::function<void(const at::Tensor&, const char*)>>{
           [&](const at::Tensor&x, const char*what) { fake_quantize(x, spec, what); },
           [&](const at::Tensor&x, const char*what) {
             swiglu(x.clone(), x, {QuantizeRows{spec, what}});
           }}) {
    for (int call = 0; call < 5000; ++call)
      quantize(good, "input of q");  // more than there are flags
    quantize(bad, "K of layer 2");
    quantize(good, "V of layer 2");
    quantize(bad, "input of o");
    EXPECT_THAT(test::error_of(check), testing::HasSubstr("K of layer 2"));
    check();  // what was said is not said again
  }
  EXPECT_THAT(test::error_of([&] { fake_quantize_weight(bad, spec, "a weight"); }),
              testing::HasSubstr("a weight"));
  quantize_weight(bad, spec, true, "codes of a weight");
  EXPECT_THAT(test::error_of(check), testing::HasSubstr("codes of a weight"));
}

TEST_F(CudaKernels, TokenNllAgreesWithTheCpu) {
  for (at::ScalarType dtype : kDtypes)
    for (std::int64_t vocabulary : {1, 300, 49152}) {
      const at::Tensor logits = random({6, vocabulary}, 3).to(dtype);
      const at::Tensor targets =
          at::randint(vocabulary, {6}, at::detail::createCPUGenerator(4), at::kLong);
      EXPECT_TRUE(at::allclose(token_nll(logits.to(at::kCUDA), targets.to(at::kCUDA)).cpu(),
                               token_nll(logits, targets), 2e-6, 2e-6));
    }
}

TEST_F(CudaKernels, TokenNllOfATargetOutsideTheVocabularyIsNan) {
  const at::Tensor logits = random({3, 50}, 3).to(at::kCUDA);
  const at::Tensor nll = token_nll(logits, at::tensor({50, 7, -1}, at::kLong).to(at::kCUDA)).cpu();
  EXPECT_TRUE(at::equal(nll.isnan(), at::tensor({true, false, true})));
  EXPECT_THAT(test::error_of([&] {
                token_nll(logits, at::tensor({1, 50, 2}, at::kLong));
              }),
              testing::HasSubstr("target 50 at index 1"));
}

// Subsets on the device and on the CPU, rows of less than a tile and of many, more rows than blocks
// at once.
TEST_F(CudaKernels, DivergencesAreTheDefinition) {
  for (at::ScalarType dtype : kDtypes)
    for (const auto& [rows, vocabulary] :
         std::vector<std::pair<std::int64_t, std::int64_t>>{{3, 1}, {300, 1025}, {5, 128256}})
      for (std::int64_t k : {1, 500, 0})
        for (bool renormalise : {false, true}) {
          if (k > vocabulary) continue;
          const auto given = test::DivergenceCase::random(dtype, rows, vocabulary, k, k, 15);
          const at::Tensor logits = given.logits.to(at::kCUDA);
          std::vector<DivergenceFrom> there = given.terms;
          if (there[0].indices.defined()) there[0].indices = there[0].indices.to(at::kCUDA);
          there[0].logits = there[0].logits.to(at::kCUDA);
          at::Tensor sums = at::zeros({2}, logits.options().dtype(at::kDouble));
          const at::Tensor found = divergence_gradient(logits, there, renormalise, sums);
          EXPECT_TRUE(test::is_reference(given, renormalise, found.cpu(), sums.cpu()))
              << k << " of " << vocabulary << ", " << renormalise;
          at::Tensor again = at::zeros_like(sums);
          EXPECT_TRUE(at::equal(divergence_gradient(logits, there, renormalise, again), found));
          EXPECT_TRUE(at::equal(again, sums));
        }
}

// Of one factor the scales and the first block of columns have the CPU's bits; the products behind
// a block are libraries', so of the columns after it it is what they lose that holds.
TEST_F(CudaKernels, GptqIsTheCpus) {
  for (at::ScalarType dtype : {at::kFloat, at::kDouble})
    for (bool symmetric : {false, true})
      for (std::int64_t group : {0, 32, 80})
        for (bool act_order : {false, true}) {
          const std::int64_t rows = 333, columns = 480, block = 128;
          const at::Tensor weight = random({rows, columns}, 16).to(dtype);
          const at::Tensor x = random({2 * columns, columns}, 17).to(dtype);
          // In another order, scales from columns as they are would bring the products' roundings
          // into the first block.
          const GptqOptions options{.act_order = act_order, .static_groups = act_order};
          const GptqFactor factor = factor_hessian(x.t().matmul(x), options, "H");
          const GptqFactor there{factor.order.to(at::kCUDA), factor.upper.to(at::kCUDA),
                                 factor.dead.to(at::kCUDA), factor.damping};
          const QuantSpec spec{4, group, symmetric, 1.0};
          const GptqResult expected = gptq(weight, factor, spec, options, "w");
          const GptqResult found = gptq(weight.to(at::kCUDA), there, spec, options, "w");
          const at::Tensor first =
              factor.order.slice(0, 0, group == 80 && !act_order ? group : block);
          auto of_block = [&](const GptqResult& result) {
            return result.weight.codes.cpu().index_select(1, first);
          };
          EXPECT_TRUE(at::equal(of_block(found), of_block(expected)));
          if (group == 0) {
            EXPECT_TRUE(at::equal(found.weight.scales.cpu(), expected.weight.scales));
          }
          EXPECT_NEAR(found.loss / expected.loss, 1, dtype == at::kDouble ? 1e-9 : 1e-3);
        }
}

/// A rounding step of a dtype, from 1 to the next value, and that of the arithmetic on it.
double step(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return 0x1p-52;
    case at::kBFloat16:
      return 0x1p-7;
    case at::kHalf:
      return 0x1p-10;
    default:
      return 0x1p-23;
  }
}
double arithmetic_step(at::ScalarType dtype) {
  return step(dtype == at::kDouble ? at::kDouble : at::kFloat);
}

/// |found - expected| within `units` steps of the arithmetic, one of the dtype's, relative, and a
/// few of float16's smallest values, where no step is smaller.
testing::AssertionResult near(const at::Tensor& found, const at::Tensor& expected,
                              const at::Tensor& units) {
  const at::ScalarType dtype = expected.scalar_type();
  if (found.scalar_type() != dtype) return testing::AssertionFailure() << "another dtype";
  const double least = dtype == at::kHalf ? 8 * 0x1p-24 : 0;
  const at::Tensor wide = expected.to(at::kDouble);
  const at::Tensor excess = (found.cpu().to(at::kDouble) - wide).abs() -
                            (units * arithmetic_step(dtype) + wide.abs() * step(dtype) + least);
  if (excess.le(0).all().item<bool>()) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << c10::toString(dtype) << ": beyond the bound by " << excess.max().item<double>();
}
testing::AssertionResult near(const at::Tensor& found, const at::Tensor& expected, double units) {
  return near(found, expected, at::full({1}, units, at::kDouble));
}

// What passes through a value has the CPU's bits; only the sum over the group, whose share the
// extremes get, runs in another order.
TEST_F(CudaKernels, StraightThroughGradientIsNearTheCpus) {
  const at::AutoGradMode recording(true);
  auto gradient = [](const at::Tensor& x, const at::Tensor& by, const QuantSpec& spec,
                     bool weight) {
    const at::Tensor leaf = x.detach().clone().set_requires_grad(true);
    (weight ? quantize_weight_straight_through(leaf, spec, "x")
            : fake_quantize_straight_through(leaf, spec, "x"))
        .backward(by);
    return leaf.grad();
  };
  for (at::ScalarType dtype : kDtypes)
    for (bool symmetric : {false, true})
      for (bool weight : {false, true})
        for (std::int64_t group : {1, 17, 64, 257, 4096, 5001, 14336}) {
          const QuantSpec spec{4, group, symmetric, 0.95};
          const at::Tensor x = random({19, 2 * group}, 5).to(dtype);
          const at::Tensor by = random({19, 2 * group}, 6).to(dtype);
          const at::Tensor expected = gradient(x, by, spec, weight);
          const at::Tensor found = gradient(x.to(at::kCUDA), by.to(at::kCUDA), spec, weight);
          const at::Tensor sizes = by.to(at::kDouble).abs().view({-1, group}).sum(-1, true);
          EXPECT_TRUE(near(found.view({-1, group}), expected.view({-1, group}), 8 * sizes))
              << "group " << group << ", symmetric " << symmetric << ", weight " << weight;
        }
}

// 53248 values of float64 are more than any device's shared memory: the operations take those.
TEST_F(CudaKernels, HadamardIsNearTheCpus) {
  for (at::ScalarType dtype : kDtypes)
    for (std::int64_t n :
         {1, 2, 12, 14, 15, 16, 28, 64, 128, 300, 576, 896, 4096, 8960, 14336, 28672, 53248})
      for (bool transposed : {false, true}) {
        const at::Tensor x = random({33, n}, 7).to(dtype);
        EXPECT_TRUE(near(hadamard_transform(x.to(at::kCUDA), 1, transposed),
                         hadamard_transform(x, 1, transposed), 192))
            << n;
      }
  for (at::ScalarType dtype : kDtypes)
    for (std::int64_t heads : {9, 12, 32, 40})
      for (std::int64_t inner : {3, 64, 80, 128}) {
        const at::Tensor x = random({2, 7, heads * inner}, 8).to(dtype);
        EXPECT_TRUE(
            near(hadamard_transform(x.to(at::kCUDA), inner), hadamard_transform(x, inner), 192))
            << heads << " x " << inner;
      }
}

TEST_F(CudaKernels, HadamardOfAnyOrderOfDimensionsKeepsIt) {
  const at::Tensor x = random({2, 5, 3, 128}, 9).to(at::kCUDA).transpose(1, 2);
  const at::Tensor y = hadamard_transform(x);
  EXPECT_EQ(y.strides(), x.strides());
  EXPECT_TRUE(at::equal(y, hadamard_transform(x.contiguous())));
}

// Another order of the sum, another exponential: 8 steps of the result, and one more rounding to
// the dtype before the last product.
TEST_F(CudaKernels, RmsNormAndSwigluAreNearTheCpus) {
  const c10::InferenceMode inference;
  for (at::ScalarType dtype : kDtypes)
    for (std::int64_t columns : {1, 15, 64, 128, 576, 4096, 5001}) {
      const double steps = 8 * step(dtype) / arithmetic_step(dtype);
      const at::Tensor x = random({37, columns}, 10).to(dtype);
      const at::Tensor y = random({37, columns}, 11).to(dtype);
      const at::Tensor on_cuda = x.to(at::kCUDA);
      const at::Tensor norm = rms_norm(x, y[0], 1e-5);
      EXPECT_TRUE(near(rms_norm(on_cuda, y[0].to(at::kCUDA), 1e-5), norm,
                       steps * norm.to(at::kDouble).abs()))
          << columns;
      const at::Tensor product = swiglu(x.clone(), y);
      EXPECT_TRUE(
          near(swiglu(on_cuda, y.to(at::kCUDA)), product, steps * product.to(at::kDouble).abs()))
          << columns;
    }
}

TEST_F(CudaKernels, RotationGivesTheBitsOfTheCpu) {
  const c10::InferenceMode inference;
  for (at::ScalarType dtype : kDtypes)
    for (std::int64_t half : {1, 5, 32, 64}) {
      const at::Tensor x = random({2, 11, 3, 2 * half}, 12).to(dtype).transpose(1, 2);
      const at::Tensor angles =
          random({11, half}, 13).to(dtype == at::kDouble ? at::kDouble : at::kFloat);
      const at::Tensor cos = angles.cos(), sin = angles.sin();
      const at::Tensor found = rotate_halves(x.to(at::kCUDA), cos.to(at::kCUDA), sin.to(at::kCUDA));
      EXPECT_TRUE(at::equal(found.cpu(), rotate_halves(x, cos, sin))) << half;
    }
}

TEST_F(CudaKernels, NoRowsGiveNoValues) {
  const c10::InferenceMode inference;
  const at::Tensor x = at::zeros({0, 64}, at::TensorOptions(at::kBFloat16).device(at::kCUDA));
  const at::Tensor heads = x.view({1, 2, 0, 64});
  const at::Tensor angles = at::zeros({0, 32}, at::TensorOptions(at::kFloat).device(at::kCUDA));
  EXPECT_EQ(hadamard_transform(x).numel(), 0);
  EXPECT_EQ(rms_norm(x, at::ones({64}, x.options()), 1e-5).numel(), 0);
  EXPECT_EQ(swiglu(x, x).numel(), 0);
  EXPECT_EQ(rotate_halves(heads, angles, angles).numel(), 0);
}

// What indices of 32 bits would miss. Takes 13 GB of the device.
TEST_F(CudaKernels, MoreThanTwoToThe31ValuesAreAllReached) {
  const at::AutoGradMode recording(true);
  const std::int64_t columns = 64, rows = (std::int64_t{1} << 31) / columns + 3;
  const at::Tensor last = random({3, columns}, 14).to(at::kBFloat16);
  at::Tensor x = at::zeros({rows, columns}, last.options().device(at::kCUDA));
  x.slice(0, rows - 3).copy_(last);
  auto end = [&](const at::Tensor& y) { return y.slice(0, rows - 3).cpu(); };
  EXPECT_TRUE(near(end(hadamard_transform(x)), hadamard_transform(last), 192));
  const QuantSpec spec{4, 0, false, 1.0};
  auto gradient = [&](const at::Tensor& values) {
    const at::Tensor leaf = values.detach().set_requires_grad(true);
    return torch::autograd::grad({fake_quantize_straight_through(leaf, spec, "x")}, {leaf},
                                 {values.detach()})[0];
  };
  EXPECT_TRUE(near(end(gradient(x)), gradient(last), 8 * 64 * 10));
  const c10::InferenceMode inference;
  const at::Tensor weight = at::ones({columns}, last.options());
  EXPECT_TRUE(at::allclose(end(rms_norm(x, weight.to(at::kCUDA), 1e-5)).to(at::kFloat),
                           rms_norm(last, weight, 1e-5).to(at::kFloat), 0x1p-6, 0));
  EXPECT_TRUE(at::allclose(end(swiglu(x, x)).to(at::kFloat),
                           swiglu(last.clone(), last).to(at::kFloat), 0x1p-6, 0));
}

// Beside CUDA's own kernels: a last digit of what they make moves some values over a step of the
// quantizer.
TEST_F(CudaKernels, RowStepsAreOneAfterTheOther) {
  const c10::InferenceMode inference;
  const RowSteps quantize = {QuantizeRows{{4, 0, false, 0.95}, "x"}}, mix = {HadamardRows{}},
                 both = {mix[0], quantize[0]};
  auto one_by_one = [](at::Tensor y, const RowSteps& steps) {
    for (const RowStep& step : steps) y = apply_rows(y, {step});
    return y;
  };
  for (at::ScalarType dtype : kDtypes)
    for (std::int64_t features : {16, 576, 4096, 14336})
      for (const RowSteps& steps : {quantize, mix, both}) {
        const at::Tensor x = random({3, 7, features}, 1).to(at::kCUDA, dtype);
        const at::Tensor weight = random({features}, 2).to(at::kCUDA, dtype);
        EXPECT_TRUE(at::equal(apply_rows(x, steps), one_by_one(x, steps)));
        EXPECT_TRUE(at::equal(rms_norm(x, weight, 1e-5, steps),
                              one_by_one(rms_norm(x, weight, 1e-5), steps)));
        EXPECT_TRUE(
            at::equal(swiglu(x.clone(), x, steps), one_by_one(swiglu(x.clone(), x), steps)));
        const at::Tensor angles =
            random({7, features / 2}, 3)
                .to(at::kCUDA, dtype == at::kDouble ? at::kDouble : at::kFloat);
        const at::Tensor heads = x.unsqueeze(2).transpose(1, 2);
        EXPECT_TRUE(at::equal(rotate_halves(heads, angles.cos(), angles.sin(), steps),
                              one_by_one(rotate_halves(heads, angles.cos(), angles.sin()), steps)));
      }
}

}  // namespace
}  // namespace harness
