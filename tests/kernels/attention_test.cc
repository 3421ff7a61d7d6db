#include "harness/kernels/attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace harness::test {
namespace {

using Window = std::optional<std::int64_t>;

// The formula, in float64.
at::Tensor exact_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           Window window) {
  const std::int64_t tokens = q.size(2);
  auto wide = [&](const at::Tensor& x) {
    return x.to(at::kDouble).repeat_interleave(q.size(1) / x.size(1), 1);
  };
  const at::Tensor place = at::arange(tokens);
  at::Tensor unseen = place > place.unsqueeze(1);
  if (window) unseen = unseen.logical_or(place <= place.unsqueeze(1) - *window);
  const at::Tensor scores =
      wide(q).matmul(wide(k).transpose(2, 3)) / std::sqrt(static_cast<double>(q.size(3)));
  return scores.masked_fill(unseen, -std::numeric_limits<double>::infinity())
      .softmax(-1)
      .matmul(wide(v));
}

double worst(const at::Tensor& found, const at::Tensor& exact) {
  return (found.to(at::kDouble) - exact).abs().max().item<double>();
}

// Of each dtype the largest difference. float32: values up to 5, weights whose scores, up to 60,
// are off by 1e-5. bfloat16: half a unit of the last place, 2^-9, of the weights and of the result;
// float16: 2^-12, of the result.
class CausalAttention : public testing::TestWithParam<std::pair<at::ScalarType, double>> {
 protected:
  void SetUp() override {
    at::manual_seed(1);
    const at::Tensor x = at::zeros({1, 1, 1, 1}, dtype_);
    if (!can_attend(x, x)) GTEST_SKIP() << "no AVX-512";
  }
  at::Tensor random(at::IntArrayRef shape) const { return at::randn(shape).to(dtype_); }
  // Token by token in memory, as a block's projections are.
  at::Tensor random_heads(std::int64_t batch, std::int64_t heads, std::int64_t tokens,
                          std::int64_t e) const {
    return random({batch, tokens, heads, e}).transpose(1, 2);
  }
  const c10::InferenceMode inference_;
  const at::ScalarType dtype_ = GetParam().first;
  const double bound_ = GetParam().second;
};

INSTANTIATE_TEST_SUITE_P(Dtypes, CausalAttention,
                         testing::Values(std::pair(at::kFloat, 5e-5),
                                         std::pair(at::kBFloat16, 3e-2),
                                         std::pair(at::kHalf, 4e-3)));

TEST_P(CausalAttention, EqualsTheFormulaInFloat64) {
  for (const auto& [group, kv_heads] : {std::pair(1, 2), {3, 3}, {8, 1}, {7, 2}})
    for (const std::int64_t e : {8, 20, 64, 96, 128})
      for (const std::int64_t tokens : {1, 65, 200}) {
        const at::Tensor q = random_heads(2, group * kv_heads, tokens, e) * 4;
        const at::Tensor k = random_heads(2, kv_heads, tokens, e);
        const at::Tensor v = random_heads(2, kv_heads, tokens, e);
        for (const Window window : {Window(), Window(1), Window(64), Window(130)}) {
          const at::Tensor found = causal_attention(q, k, v, window);
          EXPECT_EQ(found.sizes(), q.sizes());
          EXPECT_LT(worst(found, exact_attention(q, k, v, window)), bound_)
              << group << " of " << kv_heads << ", e " << e << ", " << tokens << " tokens, window "
              << window.value_or(0);
        }
      }
}

TEST_P(CausalAttention, TakesAnyLayoutInMemory) {
  const at::Tensor q = random({2, 6, 70, 16}), k = random({16, 70, 2, 2}).permute({2, 3, 1, 0});
  const at::Tensor v = random({1, 1, 1, 16}).expand({2, 2, 70, 16});
  EXPECT_LT(worst(causal_attention(q, k, v, {}), exact_attention(q, k, v, {})), bound_);
}

TEST_P(CausalAttention, ScoresFarBeyondTheExponentialsRangeAreFine) {
  const at::Tensor k = random_heads(1, 1, 300, 64), v = random_heads(1, 1, 300, 64);
  for (const double size : {1e-30, 1e3, 1e15}) {
    const at::Tensor q = random_heads(1, 2, 300, 64) * size;
    if (!q.isfinite().all().item<bool>()) continue;  // float16 ends at 65504
    const at::Tensor found = causal_attention(q, k, v, {});
    EXPECT_TRUE(found.isfinite().all().item<bool>()) << size;
    // Where scores are large the largest takes all, and its lead is beyond rounding.
    EXPECT_LT(worst(found, exact_attention(q, k, v, {})), std::max(1e-2, bound_)) << size;
  }
}

TEST_P(CausalAttention, ATokensBitsDependOnWhatItSeesOnly) {
  const std::int64_t tokens = 500;
  const at::Tensor q = random_heads(3, 6, tokens, 64), k = random_heads(3, 2, tokens, 64);
  const at::Tensor v = random_heads(3, 2, tokens, 64);
  for (const Window window : {Window(), Window(100)}) {
    const at::Tensor all = causal_attention(q, k, v, window);
    for (const std::int64_t first : {1, 63, 64, 201})
      EXPECT_TRUE(at::equal(
          all.slice(0, 1, 2).slice(2, 0, first),
          causal_attention(q.slice(0, 1, 2).slice(2, 0, first), k.slice(0, 1, 2).slice(2, 0, first),
                           v.slice(0, 1, 2).slice(2, 0, first), window)))
          << first;
    const int threads = at::get_num_threads();
    for (const int others : {1, 3}) {
      at::set_num_threads(others);
      EXPECT_TRUE(at::equal(all, causal_attention(q, k, v, window))) << others << " threads";
    }
    at::set_num_threads(threads);
  }
}

TEST_P(CausalAttention, ANanReachesThoseThatSeeIt) {
  const at::Tensor q = random_heads(1, 2, 300, 64), k = random_heads(1, 1, 300, 64);
  const at::Tensor v = random_heads(1, 1, 300, 64);
  k[0][0][150][3] = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor found = causal_attention(q, k, v, {});
  EXPECT_TRUE(found.slice(2, 150).isnan().all().item<bool>());
  EXPECT_FALSE(found.slice(2, 0, 150).isnan().any().item<bool>());
}

TEST_P(CausalAttention, IsNoLessExactThanTorchs) {
  const at::Tensor q = random_heads(1, 4, 700, 64) * 3, k = random_heads(1, 4, 700, 64);
  const at::Tensor v = random_heads(1, 4, 700, 64);
  const at::Tensor exact = exact_attention(q, k, v, {});
  auto error = [&](const at::Tensor& found) {
    return (found.to(at::kDouble) - exact).square().mean().sqrt().item<double>();
  };
  // Torch's products add up in an order that depends on the processor: 6 % less error than ours on
  // AMD's.
  EXPECT_LT(error(causal_attention(q, k, v, {})),
            1.2 * error(at::scaled_dot_product_attention(q, k, v, {}, 0.0, true)));
}

TEST_P(CausalAttention, IsForPassesWithoutGradients) {
  const at::Tensor x = at::zeros({1, 3, 2, 8}, dtype_);
  EXPECT_TRUE(can_attend(x, x));
  EXPECT_FALSE(can_attend(x.to(at::kDouble), x.to(at::kDouble)));
  const at::AutoGradMode recording(true);
  EXPECT_FALSE(can_attend(x, x));
}

}  // namespace
}  // namespace harness::test
