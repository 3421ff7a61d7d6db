#include "harness/kernels/divergence.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <vector>

#include "harness/kernels/cpu_kernels.h"
#include "tests/kernels/divergence_reference.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using kernels::CpuKernels;
using kernels::DType;
using test::DivergenceCase;
using testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Result {
  at::Tensor gradient, sums;
};

Result run(const DivergenceCase& given, bool renormalise) {
  Result result{{}, at::zeros({static_cast<std::int64_t>(given.terms.size())}, at::kDouble)};
  result.gradient = divergence_gradient(given.logits, given.terms, renormalise, result.sums);
  return result;
}

class Divergence : public testing::TestWithParam<at::ScalarType> {};

TEST_P(Divergence, IsTheDefinition) {
  struct Sizes {
    std::int64_t vocabulary, first_k, second_k;
  };
  for (const Sizes& sizes : std::vector<Sizes>{{1, 1, 0},
                                               {2, 1, 2},
                                               {15, 3, 15},
                                               {16, 16, 0},
                                               {17, 17, 5},
                                               {33, 0, 1},
                                               {1000, 100, 7},
                                               {5003, 500, 500},
                                               {49152, 1000, 0}})
    for (const bool renormalise : {false, true}) {
      const auto given =
          DivergenceCase::random(GetParam(), 3, sizes.vocabulary, sizes.first_k, sizes.second_k, 1);
      const Result found = run(given, renormalise);
      EXPECT_TRUE(test::is_reference(given, renormalise, found.gradient, found.sums))
          << sizes.first_k << " and " << sizes.second_k << " of " << sizes.vocabulary << ", "
          << renormalise;
    }
}

TEST_P(Divergence, OneTermIsTheFirstOfTwo) {
  auto given = DivergenceCase::random(GetParam(), 4, 300, 20, 30, 2);
  for (const bool renormalise : {false, true}) {
    const at::Tensor first = run(given, renormalise).sums[0];
    auto alone = given;
    alone.terms.pop_back();
    const Result found = run(alone, renormalise);
    EXPECT_TRUE(at::equal(found.sums[0], first));
    EXPECT_TRUE(test::is_reference(alone, renormalise, found.gradient, found.sums));
  }
}

INSTANTIATE_TEST_SUITE_P(EveryDtype, Divergence,
                         testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf),
                         [](const auto& info) { return c10::toString(info.param); });

TEST(DivergenceKernels, EveryImplementationGivesTheSameBits) {
  for (const auto& [type, dtype] :
       {std::pair{at::kFloat, DType::f32}, {at::kBFloat16, DType::bf16}, {at::kHalf, DType::f16}})
    for (const std::int64_t vocabulary : {1, 31, 1025, 5000})
      for (const std::int64_t k : {1, 13, 800, 0})
        for (const bool renormalise : {false, true}) {
          if (k > vocabulary) continue;
          auto given = DivergenceCase::random(type, 4, vocabulary, k, k, 3);
          const kernels::Divergences d = test::arguments_of(given, renormalise);
          std::vector<Result> results;
          for (const CpuKernels* each : kernels::supported_cpu_kernels()) {
            Result& to = results.emplace_back(
                Result{at::empty_like(given.logits), at::full({4, 2}, NAN, at::kDouble)});
            std::vector<float> memory(static_cast<std::size_t>(kernels::divergence_memory(d)));
            // In two calls: the second starts from what the first has left.
            for (const std::int64_t begin : {0, 1})
              each->divergences(dtype, given.logits.const_data_ptr(), d,
                                to.gradient.mutable_data_ptr(), to.sums.mutable_data_ptr<double>(),
                                begin, begin == 0 ? 1 : 4, memory.data());
            EXPECT_TRUE(at::equal(to.gradient, results[0].gradient)) << each->name;
            EXPECT_TRUE(at::equal(to.sums, results[0].sums)) << each->name;
          }
        }
}

TEST(DivergenceKernels, SumsAreAddedTo) {
  const auto given = DivergenceCase::random(at::kFloat, 4, 300, 20, 30, 4);
  const Result once = run(given, false);
  at::Tensor sums = at::ones({2}, at::kDouble);
  divergence_gradient(given.logits, given.terms, false, sums);
  EXPECT_TRUE(at::allclose(sums, once.sums + 1, 1e-14, 0));
}

TEST(DivergenceKernels, RowsThatAreNotContiguousAreTakenAsTheyAre) {
  auto given = DivergenceCase::random(at::kFloat, 4, 300, 20, 30, 5);
  const Result expected = run(given, true);
  for (at::Tensor* x : {&given.logits, &given.terms[0].logits, &given.terms[1].indices})
    *x = x->t().contiguous().t();
  const Result found = run(given, true);
  EXPECT_TRUE(at::equal(found.gradient, expected.gradient));
  EXPECT_TRUE(at::equal(found.sums, expected.sums));
}

TEST(DivergenceKernels, TheSameLogitsAreNoDivergence) {
  auto given = DivergenceCase::random(at::kFloat, 4, 300, 0, 0, 6);
  given.terms.resize(1);
  given.terms[0].logits = given.logits;
  given.terms[0].log_sum_exp = at::logsumexp(given.logits.to(at::kDouble), {-1}).to(at::kFloat);
  for (const bool renormalise : {false, true}) {
    const Result found = run(given, renormalise);
    EXPECT_NEAR(found.sums[0].item<double>(), 0, 1e-5);
    EXPECT_LT(found.gradient.abs().max().item<double>(), 2e-6);  // log-sum-exp is in float32
  }
}

// What one position has been given is not left for the next.
TEST(DivergenceKernels, RowsDoNotMeet) {
  const auto given = DivergenceCase::random(at::kBFloat16, 5, 300, 20, 30, 7);
  const at::Tensor all = run(given, false).gradient;
  for (std::int64_t row = 0; row < 5; ++row) {
    auto one = given;
    one.logits = given.logits.slice(0, row, row + 1);
    for (DivergenceFrom& term : one.terms)
      for (at::Tensor* x : {&term.indices, &term.logits, &term.log_sum_exp})
        *x = x->slice(0, row, row + 1);
    EXPECT_TRUE(at::equal(run(one, false).gradient[0], all[row])) << row;
  }
}

TEST(DivergenceKernels, NanAndInfinityAreNotLost) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble})
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity})
      for (const int place : {0, 5, 36}) {
        auto given = DivergenceCase::random(dtype, 1, 37, 3, 3, 8);
        given.logits[0][place] = bad;
        const Result found = run(given, false);
        EXPECT_FALSE(at::isfinite(found.sums).any().item<bool>());
        EXPECT_TRUE(found.gradient.isnan().any().item<bool>());
      }
}

TEST(DivergenceKernels, ForbiddenTokensCountNothing) {
  auto given = DivergenceCase::random(at::kFloat, 1, 37, 3, 3, 9);
  const std::int64_t k = 3;
  for (std::int64_t place = 0; place < 37; ++place) {
    if ((given.terms[0].indices == place)
            .logical_or(given.terms[1].indices == place)
            .any()
            .item<bool>())
      continue;
    given.logits[0][place] = -kInfinity;
  }
  const Result found = run(given, false);
  EXPECT_TRUE(at::isfinite(found.gradient).all().item<bool>());
  EXPECT_LE(found.gradient.count_nonzero().item<std::int64_t>(), 2 * k);
}

TEST(DivergenceKernels, NoRowsGiveNoValues) {
  at::Tensor sums = at::zeros({1}, at::kDouble);
  const DivergenceFrom nothing{.logits = at::zeros({0, 9}), .log_sum_exp = at::zeros({0})};
  EXPECT_EQ(divergence_gradient(at::zeros({0, 9}), {nothing}, false, sums).size(1), 9);
  EXPECT_EQ(sums.item<double>(), 0);
}

TEST(DivergenceKernels, WhatDoesNotFitIsAnError) {
  const auto given = DivergenceCase::random(at::kFloat, 4, 300, 20, 30, 10);
  auto text = [&](const std::function<void(DivergenceCase&)>& change, bool renormalise = false) {
    auto changed = given;
    change(changed);
    return test::error_of([&] { run(changed, renormalise); });
  };
  EXPECT_THAT(text([](auto& c) { c.terms[0].logits = c.terms[0].logits.to(at::kBFloat16); }),
              HasSubstr("logits Float [4, 300] beside those of a term BFloat16 [4, 20]"));
  EXPECT_THAT(text([](auto& c) { c.terms[1].indices = c.terms[0].indices; }),
              HasSubstr("indices Long [4, 20]"));
  EXPECT_THAT(text([](auto& c) { c.terms[1].indices = at::Tensor(); }), HasSubstr("indices none"));
  EXPECT_THAT(text([](auto& c) { c.terms[0].log_sum_exp = at::Tensor(); }),
              HasSubstr("log-sum-exp none"));
  EXPECT_THAT(text([](auto& c) { c.terms.push_back(c.terms[0]); }), HasSubstr("3 terms"));
  for (const std::int64_t index : {-1, 300})
    EXPECT_THAT(text([&](auto& c) { c.terms[1].indices[3][2] = index; }, true),
                HasSubstr(index < 0 ? "index -1" : "index 300"));
}

}  // namespace
}  // namespace harness
