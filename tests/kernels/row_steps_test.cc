#include "harness/kernels/row_steps.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "harness/kernels/hadamard.h"
#include "harness/kernels/ops.h"
#include "harness/kernels/transformer_ops.h"

// Steps done where rows are made, against the same steps one after the other.

namespace harness::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const QuantizeRows kPerToken{{4, 0, false, 1.0}, "x"}, kInGroups{{3, 16, true, 0.9}, "x"};

std::vector<RowSteps> chains(std::int64_t features) {
  std::vector<RowSteps> result = {{},
                                  {kPerToken},
                                  {HadamardRows{}},
                                  {HadamardRows{}, kPerToken},
                                  {HadamardRows{16}, kInGroups},
                                  {kInGroups, HadamardRows{}, kPerToken}};
  if (features % 16 != 0)
    std::erase_if(result, [](const RowSteps& steps) {
      return std::any_of(steps.begin(), steps.end(), [](const RowStep& step) {
        const auto* hadamard = std::get_if<HadamardRows>(&step);
        const auto* quantize = std::get_if<QuantizeRows>(&step);
        return (hadamard && hadamard->inner == 16) || (quantize && quantize->spec.group == 16);
      });
    });
  return result;
}

at::Tensor one_by_one(at::Tensor x, const RowSteps& steps) {
  for (const RowStep& step : steps) {
    if (const auto* hadamard = std::get_if<HadamardRows>(&step))
      x = hadamard_transform(x, hadamard->inner);
    else
      x = fake_quantize(x, std::get<QuantizeRows>(step).spec, "x");
  }
  return x;
}

class RowStepsOf : public testing::TestWithParam<at::ScalarType> {
 protected:
  at::Tensor random(at::IntArrayRef shape) const { return (at::randn(shape) * 3).to(GetParam()); }

  /// For a shape of few values, and one of more than a near cache and a thread's part hold.
  static void for_shapes(
      const std::function<void(std::int64_t tokens, std::int64_t features)>& test) {
    for (const auto& [tokens, features] :
         {std::pair{1, 16}, {5, 12}, {3, 48}, {700, 96}, {3, 28672}}) {
      SCOPED_TRACE(testing::Message() << tokens << " x " << features);
      test(tokens, features);
    }
  }

  const at::NoGradGuard no_gradients_;
};

TEST_P(RowStepsOf, AnActivationHaveTheBitsOfOneStepAfterTheOther) {
  for_shapes([&](std::int64_t tokens, std::int64_t features) {
    const at::Tensor heads_in_tokens = random({2, tokens, 3, features}).transpose(1, 2);
    for (const RowSteps& steps : chains(features))
      for (const at::Tensor& x :
           {heads_in_tokens, random({tokens, 2 * features}).slice(1, features)})
        EXPECT_TRUE(at::equal(apply_rows(x, steps), one_by_one(x, steps)));
  });
}

TEST_P(RowStepsOf, RmsNormHaveTheBitsOfStepsAfterIt) {
  for_shapes([&](std::int64_t tokens, std::int64_t features) {
    const at::Tensor x = random({2, tokens, features}), weight = random({features});
    for (const RowSteps& steps : chains(features))
      EXPECT_TRUE(at::equal(rms_norm(x, weight, 1e-5, steps),
                            one_by_one(rms_norm(x, weight, 1e-5), steps)));
  });
}

TEST_P(RowStepsOf, SwigluHaveTheBitsOfStepsAfterIt) {
  for_shapes([&](std::int64_t tokens, std::int64_t features) {
    const at::Tensor gate = random({2, tokens, features}), up = random({2, tokens, features});
    for (const RowSteps& steps : chains(features))
      EXPECT_TRUE(
          at::equal(swiglu(gate.clone(), up, steps), one_by_one(swiglu(gate.clone(), up), steps)));
  });
}

TEST_P(RowStepsOf, RotationHaveTheBitsOfStepsAfterIt) {
  for_shapes([&](std::int64_t tokens, std::int64_t features) {
    const at::Tensor dense = random({2, tokens, 3, features});
    const at::Tensor angles =
        at::randn({tokens, features / 2}, GetParam() == at::kDouble ? at::kDouble : at::kFloat);
    for (const RowSteps& steps : chains(features))
      for (const at::Tensor& x : {dense.transpose(1, 2), dense.view({2, 3, tokens, features})})
        EXPECT_TRUE(at::equal(rotate_halves(x, angles.cos(), angles.sin(), steps),
                              one_by_one(rotate_halves(x, angles.cos(), angles.sin()), steps)));
  });
}

INSTANTIATE_TEST_SUITE_P(Dtypes, RowStepsOf,
                         testing::Values(at::kFloat, at::kBFloat16, at::kHalf, at::kDouble),
                         [](const auto& info) { return std::string(c10::toString(info.param)); });

std::string message_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const NotFinite& error) {
    return error.what();
  }
  return "no error";
}

TEST(RowSteps, NotFiniteNamesTheTensorAndTheFirstIndex) {
  const at::NoGradGuard no_gradients;
  const RowSteps quantize = {QuantizeRows{{4, 0, false, 1.0}, "input of q"}},
                 mixed = {HadamardRows{}, quantize[0]}, again = {quantize[0], HadamardRows{}};
  // Several threads' parts, with such values in more than one of them.
  at::Tensor x = at::ones({1, 400, 3, 256});
  x[0][350][2][1] = std::numeric_limits<float>::quiet_NaN();
  x[0][123][1][7] = std::numeric_limits<float>::infinity();
  const auto first = AllOf(HasSubstr("input of q"), HasSubstr("index [0, 123, 1, "));
  for (const RowSteps& steps : {quantize, mixed, again}) {
    EXPECT_THAT(message_of([&] { apply_rows(x, steps); }), first);
    EXPECT_THAT(message_of([&] { rms_norm(x, at::ones({256}), 1e-5, steps); }), first);
    EXPECT_THAT(message_of([&] { swiglu(x.clone(), at::ones_like(x), steps); }), first);
    // The index is that of [batch, heads, tokens, e], whatever the order in memory.
    EXPECT_THAT(
        message_of([&] {
          rotate_halves(x.transpose(1, 2), at::ones({400, 128}), at::zeros({400, 128}), steps);
        }),
        AllOf(HasSubstr("input of q"), HasSubstr("index [0, 1, 123, ")));
  }
}

TEST(RowSteps, WrongOnesAreErrors) {
  const at::NoGradGuard no_gradients;
  const at::Tensor x = at::ones({2, 24});
  EXPECT_THROW(apply_rows(x, {HadamardRows{5}, kPerToken}), Error);
  EXPECT_THROW(apply_rows(x, {HadamardRows{}, kInGroups}), Error);
  EXPECT_THROW(rms_norm(x, at::ones({24}), 1e-5, {kInGroups}), Error);
}

TEST(RowSteps, NoRowsStayNoRows) {
  const at::NoGradGuard no_gradients;
  EXPECT_EQ(apply_rows(at::ones({0, 16}), {HadamardRows{}, kPerToken}).numel(), 0);
  EXPECT_EQ(rms_norm(at::ones({0, 16}), at::ones({16}), 1e-5, {kPerToken}).numel(), 0);
}

TEST(RowSteps, AGradientGoesThroughTheHadamard) {
  const at::Tensor x = at::randn({3, 16}).set_requires_grad(true);
  const at::Tensor y = rms_norm(x, at::ones({16}), 1e-5, {HadamardRows{}});
  EXPECT_TRUE(y.requires_grad());
}

}  // namespace
}  // namespace harness::test
