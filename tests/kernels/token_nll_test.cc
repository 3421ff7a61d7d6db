#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "harness/kernels/cpu_kernels.h"
#include "harness/kernels/lanes_portable.h"
#include "harness/kernels/ops.h"
#include "harness/kernels/token_nll_lanes.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using kernels::CpuKernels;
using kernels::DType;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

at::Tensor in_float64(const at::Tensor& logits, const at::Tensor& targets) {
  const at::Tensor wide = logits.to(at::kDouble);
  return at::logsumexp(wide, 1) - wide.gather(1, targets.unsqueeze(1)).squeeze(1);
}

at::Tensor random_logits(std::int64_t rows, std::int64_t vocabulary, double deviation,
                         std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn({rows, vocabulary}, generator, at::kFloat) * deviation;
}

at::Tensor random_targets(std::int64_t rows, std::int64_t vocabulary, std::uint64_t seed) {
  return at::randint(vocabulary, {rows}, at::detail::createCPUGenerator(seed), at::kLong);
}

class TokenNll : public testing::TestWithParam<at::ScalarType> {};

TEST_P(TokenNll, AgreesWithFloat64To1e6) {
  for (std::int64_t vocabulary : {1, 2, 15, 16, 17, 63, 64, 65, 1000, 1024, 4099, 49152}) {
    for (double deviation : {0.01, 3.0, 30.0}) {
      const at::Tensor logits = random_logits(5, vocabulary, deviation, 1).to(GetParam());
      const at::Tensor targets = random_targets(5, vocabulary, 2);
      const at::Tensor expected = in_float64(logits, targets);
      const at::Tensor error = (token_nll(logits, targets).to(at::kDouble) - expected).abs();
      // A likelihood of nearly 1 is a difference of equals: absolute there.
      const at::Tensor scale = expected.abs().clamp_min(1.0);
      EXPECT_LT((error / scale).max().item<double>(), 1e-6)
          << "vocabulary " << vocabulary << ", deviation " << deviation;
    }
  }
}

TEST_P(TokenNll, LogSumExpAgreesWithFloat64To1e6) {
  for (std::int64_t columns : {1, 17, 2048, 4099}) {
    const at::Tensor logits = random_logits(5, columns, 10.0, 1).to(GetParam());
    const at::Tensor error = log_sum_exp(logits) - at::logsumexp(logits.to(at::kDouble), 1);
    EXPECT_LT(error.abs().max().item<double>(), 1e-6) << columns;
  }
}

INSTANTIATE_TEST_SUITE_P(EveryDtype, TokenNll,
                         testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf),
                         [](const auto& info) { return c10::toString(info.param); });

TEST(TokenNll, UniformLogitsGiveTheLogOfTheVocabulary) {
  const at::Tensor nll =
      token_nll(at::full({2, 49152}, -7.5, at::kBFloat16), at::tensor({0, 49151}, at::kLong));
  EXPECT_NEAR(nll[0].item<double>(), std::log(49152.0), 1e-6 * std::log(49152.0));
  EXPECT_EQ(nll[0].item<float>(), nll[1].item<float>());
}

TEST(TokenNll, HugeLogitsDoNotOverflow) {
  const at::Tensor logits = at::tensor({3e38f, -3e38f, 3e38f}).unsqueeze(0);
  EXPECT_NEAR(token_nll(logits, at::tensor({2}, at::kLong)).item<double>(), std::log(2.0), 1e-6);
}

TEST(TokenNll, ForbiddenTokensCountNothing) {
  const at::Tensor logits = at::tensor({1.0f, -kInfinity, 1.0f, -kInfinity}).unsqueeze(0);
  EXPECT_NEAR(token_nll(logits, at::tensor({0}, at::kLong)).item<double>(), std::log(2.0), 1e-6);
}

TEST(TokenNll, NanAndInfinityAreNotLost) {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity}) {
    for (int place : {0, 5, 20, 36}) {
      at::Tensor logits = at::zeros({1, 37});
      logits[0][place] = bad;
      EXPECT_TRUE(std::isnan(token_nll(logits, at::tensor({7}, at::kLong)).item<float>()))
          << bad << " at " << place;
    }
  }
}

TEST(TokenNll, EveryImplementationGivesTheSameBits) {
  const auto& all = kernels::supported_cpu_kernels();
  for (std::int64_t vocabulary : {1, 5, 16, 31, 64, 1023, 1025, 5000}) {
    const at::Tensor logits = random_logits(4, vocabulary, 10.0, 3);
    const at::Tensor targets = random_targets(4, vocabulary, 4);
    for (auto [type, dtype] : {std::pair{at::kFloat, DType::f32},
                               {at::kBFloat16, DType::bf16},
                               {at::kHalf, DType::f16}}) {
      const at::Tensor typed = logits.to(type);
      at::Tensor reference;
      for (const CpuKernels* kernels : all) {
        const at::Tensor nll = at::empty({4});
        kernels->token_nll(dtype, typed.data_ptr(), targets.data_ptr<std::int64_t>(),
                           nll.data_ptr<float>(), 4, vocabulary);
        if (!reference.defined()) reference = nll;
        EXPECT_TRUE(at::equal(reference, nll)) << kernels->name << ", vocabulary " << vocabulary;
      }
    }
  }
}

TEST(TokenNll, ExponentialIsWithinTwoUlp) {
  using kernels::Portable;
  for (float d = -86.0f; d <= 0.0f; d += 0.00173f) {
    const float found = kernels::exp_nonpositive<Portable>(Portable::set(d)).lane[0];
    const double expected = std::exp(static_cast<double>(d));
    const double ulp = std::ldexp(1.0, std::ilogb(expected) - 23);
    ASSERT_LE(std::abs(found - expected), 2 * ulp) << d;
  }
}

TEST(TokenNll, TargetOutsideTheVocabularyIsAnError) {
  const std::string text = test::error_of([] {
    token_nll(at::zeros({2, 4}), at::tensor({1, 4}, at::kLong));
  });
  EXPECT_NE(text.find("target 4 at index 1"), std::string::npos) << text;
  EXPECT_NE(text.find("0 to 3"), std::string::npos) << text;
}

TEST(TokenNll, MismatchedShapesAreAnError) {
  const std::string text = test::error_of([] {
    token_nll(at::zeros({2, 4}), at::tensor({1}, at::kLong));
  });
  EXPECT_NE(text.find("logits [2, 4]"), std::string::npos) << text;
}

TEST(TokenNll, NoRowsGiveNoValues) {
  EXPECT_EQ(token_nll(at::zeros({0, 4}), at::zeros({0}, at::kLong)).numel(), 0);
}

}  // namespace
}  // namespace harness
