#include "harness/kernels/hadamard.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "tests/support/support.h"

namespace harness {
namespace {

using testing::HasSubstr;

at::Tensor random(at::IntArrayRef shape, at::ScalarType dtype = at::kDouble) {
  return at::randn(shape, at::detail::createCPUGenerator(7), at::kDouble).to(dtype);
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

at::Tensor small_matrix(std::int64_t m) {
  std::vector<std::int8_t> signs = paley_matrix(m);
  return at::from_blob(signs.data(), {m, m}, at::kChar).to(at::kDouble);
}

at::Tensor sylvester(std::int64_t power) {
  at::Tensor matrix = at::ones({1, 1}, at::kDouble);
  while (matrix.size(0) < power) matrix = at::kron(small_matrix(2), matrix);
  return matrix;
}

/// The normalised H_n, written out.
at::Tensor written_out(std::int64_t n) {
  const HadamardOrder order = hadamard_order(n);
  const at::Tensor block = at::kron(small_matrix(order.m), sylvester(order.power)) /
                           std::sqrt(static_cast<double>(order.m * order.power));
  return at::kron(at::eye(order.blocks, at::kDouble), block);
}

/// Sizes of models and the m of methods.md's rule, worked out by hand: m - 1, or m / 2 - 1 for
/// Paley II, is a prime power, and for no smaller m of that odd part.
struct Size {
  std::int64_t n, m;
};
constexpr Size kSizes[] = {
    // Heads and head sizes.
    {4, 1},
    {8, 1},
    {12, 12},
    {16, 1},
    {20, 20},
    {24, 12},
    {28, 28},
    {32, 1},
    {40, 20},
    {64, 1},
    {80, 20},
    {96, 12},
    {128, 1},
    // Hidden sizes: SmolLM2, Qwen, TinyLlama, Llama, Mistral.
    {576, 36},
    {896, 28},
    {960, 60},
    {1024, 1},
    {1536, 12},
    {2048, 1},
    {2560, 20},
    {3072, 12},
    {3584, 28},
    {4096, 1},
    {5120, 20},
    {8192, 1},
    {16384, 1},
    // MLP sizes; 344 = 7^3 + 1, 28 = 3^3 + 1, 100 = 2 (7^2 + 1), 52 = 2 (5^2 + 1).
    {4864, 76},
    {5632, 44},
    {6144, 12},
    {8960, 140},
    {9728, 76},
    {11008, 344},
    {12288, 12},
    {13824, 108},
    {14336, 28},
    {17408, 68},
    {18944, 148},
    {25600, 100},
    {27648, 108},
    {28672, 28},
    {29568, 924},
    {53248, 52}};

class EachSize : public testing::TestWithParam<Size> {};

TEST_P(EachSize, OrderIsTheSmallestOfTheRule) {
  const HadamardOrder order = hadamard_order(GetParam().n);
  EXPECT_TRUE(order.whole());
  EXPECT_EQ(order.m, GetParam().m);
  EXPECT_EQ(order.m * order.power, GetParam().n);
}

// H_n = H_m (x) Sylvester: with the written-out H_m, and below with the product that is applied.
TEST_P(EachSize, RowsOfTheSmallFactorAreOrthogonal) {
  const std::int64_t m = GetParam().m;
  const at::Tensor h = small_matrix(m);
  EXPECT_TRUE(at::equal(h.abs(), at::ones_like(h)));
  EXPECT_TRUE(at::equal(h.matmul(h.t()), at::eye(m, at::kDouble) * static_cast<double>(m)));
}

TEST_P(EachSize, TransposedIsTheInverse) {
  const at::Tensor x = random({3, GetParam().n});
  EXPECT_LT(difference(hadamard_transform(hadamard_transform(x), 1, true), x), 1e-12);
  EXPECT_LT(difference(hadamard_transform(hadamard_transform(x, 1, true)), x), 1e-12);
}

TEST_P(EachSize, EveryEntryIsOneOverTheRootOfN) {
  const std::int64_t n = GetParam().n;
  at::Tensor units = at::zeros({3, n}, at::kDouble);
  for (std::int64_t i = 0; i < 3; ++i) units[i][(i * (n - 1)) / 2] = 1;
  const double size = 1 / std::sqrt(static_cast<double>(n));
  EXPECT_LT(difference(hadamard_transform(units).abs(), at::full({3, n}, size, at::kDouble)),
            1e-15);
}

INSTANTIATE_TEST_SUITE_P(Hadamard, EachSize, testing::ValuesIn(kSizes),
                         [](const auto& info) { return std::to_string(info.param.n); });

TEST(HadamardMatrix, PrimePowersOfBothConstructions) {
  // q = 3, 7, 9, 11, 27, 81, 125, 243, 343, 625, 729 and so on; 9 and 81 have no Paley I.
  for (const std::int64_t m : {4, 8, 12, 20, 28, 36, 52, 82 * 2, 126 * 2, 244, 344, 626 * 2}) {
    const at::Tensor h = small_matrix(m);
    EXPECT_TRUE(at::equal(h.matmul(h.t()), at::eye(m, at::kDouble) * static_cast<double>(m))) << m;
  }
}

TEST(HadamardMatrix, OrdersOfNoConstructionAreEmpty) {
  for (const std::int64_t m : {3, 6, 9, 14, 92, 116, 172})  // 92 has a matrix, but not by Paley
    EXPECT_TRUE(paley_matrix(m).empty()) << m;
}

struct Blocks {
  std::int64_t n, blocks, power;
};
class EachPartialSize : public testing::TestWithParam<Blocks> {};

TEST_P(EachPartialSize, IsBlockDiagonalInTheLargestPowerOfTwo) {
  const auto [n, blocks, power] = GetParam();
  const HadamardOrder order = hadamard_order(n);
  EXPECT_FALSE(order.whole());
  EXPECT_EQ(order.blocks, blocks);
  EXPECT_EQ(order.m, 1);
  EXPECT_EQ(order.power, power);
  const at::Tensor h = hadamard_transform(at::eye(n, at::kDouble));
  EXPECT_LT(difference(h, written_out(n)), 1e-14);
  EXPECT_LT(difference(h.matmul(h.t()), at::eye(n, at::kDouble)), 1e-14);
}

INSTANTIATE_TEST_SUITE_P(Hadamard, EachPartialSize,
                         testing::Values(Blocks{9, 9, 1}, Blocks{14, 7, 2}, Blocks{15, 15, 1},
                                         Blocks{6, 3, 2}, Blocks{92, 23, 4}),
                         [](const auto& info) { return std::to_string(info.param.n); });

constexpr std::int64_t kWrittenOut[] = {1,  2,  4,  8,   12,  16,  20,  28,  36,  48,
                                        64, 80, 96, 128, 192, 300, 576, 896, 960, 1536};

TEST(Hadamard, IsTheProductWithTheWrittenOutMatrix) {
  for (const std::int64_t n : kWrittenOut) {
    const at::Tensor x = random({5, n}), h = written_out(n);
    EXPECT_LT(difference(hadamard_transform(x), x.matmul(h)), 1e-12) << n;
    EXPECT_LT(difference(hadamard_transform(x, 1, true), x.matmul(h.t())), 1e-12) << n;
    EXPECT_LT(difference(hadamard_transform(x.to(at::kFloat)), x.matmul(h)), 2e-5) << n;
  }
}

TEST(Hadamard, MixesOverTheOuterIndexWhereInnerValuesBelongTogether) {
  for (const std::int64_t n : {2, 12, 14, 28, 32})
    for (const std::int64_t inner : {1, 3, 16, 20, 80}) {
      const at::Tensor x = random({2, 3, n * inner});
      const at::Tensor expected =
          at::einsum("btic,ij->btjc", {x.view({2, 3, n, inner}), written_out(n)})
              .reshape(x.sizes());
      EXPECT_LT(difference(hadamard_transform(x, inner), expected), 1e-12) << n << " " << inner;
    }
}

TEST(Hadamard, Bfloat16IsComputedInFloat32AndCastOnce) {
  for (const std::int64_t n : {12, 64, 576, 896, 14336}) {
    const at::Tensor x = random({3, n}, at::kBFloat16);
    EXPECT_TRUE(
        at::equal(hadamard_transform(x), hadamard_transform(x.to(at::kFloat)).to(at::kBFloat16)))
        << n;
  }
}

// float16 has no kernel: it takes the way of every device that has none.
TEST(Hadamard, WithoutAKernelTheResultIsTheSame) {
  for (const std::int64_t n : kWrittenOut)
    for (const bool transposed : {false, true}) {
      const at::Tensor x = random({4, n}, at::kHalf);
      const at::Tensor y = hadamard_transform(x, 1, transposed);
      EXPECT_EQ(y.scalar_type(), at::kHalf);
      const at::Tensor in_float32 = hadamard_transform(x.to(at::kFloat), 1, transposed);
      EXPECT_LT(difference(y, in_float32), 4e-3) << n;  // half a unit of float16 at 4 and above
    }
  const at::Tensor x = random({2, 3, 12 * 20}, at::kHalf);
  EXPECT_LT(difference(hadamard_transform(x, 20), hadamard_transform(x.to(at::kFloat), 20)), 4e-3);
}

TEST(Hadamard, AnyOrderOfDimensionsIsTheSame) {
  const at::Tensor x = random({2, 5, 3, 28}).transpose(1, 2);
  EXPECT_TRUE(at::equal(hadamard_transform(x), hadamard_transform(x.contiguous())));
  const at::Tensor part = random({4, 56}).slice(1, 0, 56, 2);
  EXPECT_TRUE(at::equal(hadamard_transform(part), hadamard_transform(part.contiguous())));
}

TEST(Hadamard, ManyRowsAreAsOne) {
  const at::Tensor x = random({300, 576}, at::kFloat);
  const at::Tensor y = hadamard_transform(x);
  for (const std::int64_t row : {0, 57, 299})
    EXPECT_TRUE(at::equal(y[row], hadamard_transform(x[row])));
}

TEST(Hadamard, LeavesItsInputAsItWas) {
  const at::Tensor x = random({3, 48}), before = x.clone();
  hadamard_transform(x);
  EXPECT_TRUE(at::equal(x, before));
}

// Of sum(w * x H): w H^T. 12 and 28 are not symmetric.
TEST(Hadamard, GradientIsTheProductWithTheTranspose) {
  const at::AutoGradMode gradients(true);
  for (const std::int64_t n : {12, 28, 36, 64, 14})
    for (const bool transposed : {false, true})
      for (const std::int64_t inner : {1, 5}) {
        at::Tensor x = random({3, n * inner}).set_requires_grad(true);
        const at::Tensor w = at::arange(3 * n * inner, at::kDouble).view({3, n * inner}).cos();
        (hadamard_transform(x, inner, transposed) * w).sum().backward();
        EXPECT_LT(difference(x.grad(), hadamard_transform(w, inner, !transposed)), 1e-12);
      }
}

TEST(Hadamard, ShapesThatDoNotFitAreErrors) {
  EXPECT_THAT(test::error_of([] {
                hadamard_transform(at::zeros({2, 10}), 4);
              }),
              testing::AllOf(HasSubstr("[2, 10]"), HasSubstr("4 values")));
  EXPECT_THAT(test::error_of([] {
                hadamard_transform(at::zeros({2, 10}), 0);
              }),
              HasSubstr("0 values"));
  EXPECT_EQ(hadamard_transform(at::zeros({0, 12})).numel(), 0);
}

}  // namespace
}  // namespace harness
