#include "harness/quant/transform_init.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "tests/quant/tiny_model.h"

namespace harness {
namespace {

using test::tiny_config;
using test::tiny_model;

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

double distance_from_orthogonal(const at::Tensor& rotation) {
  return difference(rotation.matmul(rotation.t()), at::eye(rotation.size(0), at::kDouble));
}

Transform start(LlamaModel& model, const std::string& init, std::uint64_t seed = 0) {
  Transform transform;
  init_rotations(transform, model, init, seed);
  return transform;
}

TEST(RandomHadamard, IsOrthogonalWithEntriesOfOneSize) {
  Philox stream(0, "test", "hadamard");
  for (const std::int64_t n : {4, 12, 28, 64, 96}) {
    const at::Tensor h = random_hadamard(n, stream);
    EXPECT_LT(distance_from_orthogonal(h), 1e-13) << n;
    const double size = 1 / std::sqrt(static_cast<double>(n));
    EXPECT_LT(difference(h.abs(), at::full({n, n}, size, at::kDouble)), 1e-15) << n;
  }
}

TEST(RandomHadamard, SignsAreThoseOfTheColumns) {
  Philox stream(0, "test", "hadamard");
  const at::Tensor a = random_hadamard(64, stream), b = random_hadamard(64, stream);
  const at::Tensor signs = (a / b)[0];
  EXPECT_TRUE(at::equal(a, b * signs));
  // Of 64 coins more than 26 beyond balance have a probability below 2e-3; the stream is fixed.
  EXPECT_LT(std::abs(signs.sum().item<double>()), 26);
}

TEST(PrincipalAxes, AreThoseTheMatrixWasMadeOf) {
  const at::Tensor made = std::get<0>(
      at::linalg_qr(at::randn({24, 24}, at::detail::createCPUGenerator(3), at::kDouble)));
  const at::Tensor largest = made.gather(0, made.abs().argmax(0, true));
  const at::Tensor axes = made * largest.sign();
  const at::Tensor values = at::arange(24, 0, -1, at::kDouble);
  EXPECT_LT(difference(principal_axes(axes.matmul(values.diag()).matmul(axes.t())), axes), 1e-12);
}

TEST(InitRotations, IdentityIsTheIdentity) {
  const auto model = tiny_model();
  const Transform transform = start(*model, "identity");
  EXPECT_TRUE(at::equal(transform.r_res, at::eye(32, at::kDouble)));
  ASSERT_EQ(transform.r_ov.size(), 2u);
  EXPECT_EQ(transform.r_ov[1].sizes(), at::IntArrayRef({2, 16, 16}));
  EXPECT_TRUE(at::equal(transform.r_ov[1][1], at::eye(16, at::kDouble)));
}

TEST(InitRotations, DrawsDependOnTheSeedAndDifferBetweenHeads) {
  const auto model = tiny_model();
  for (const char* init : {"hadamard", "pca-hadamard"}) {
    const Transform a = start(*model, init), again = start(*model, init),
                    b = start(*model, init, 1);
    EXPECT_TRUE(at::equal(a.r_res, again.r_res));
    EXPECT_TRUE(at::equal(a.r_ov[1], again.r_ov[1]));
    EXPECT_FALSE(at::equal(a.r_res, b.r_res));
    EXPECT_FALSE(at::equal(a.r_ov[0], b.r_ov[0]));
    EXPECT_FALSE(at::equal(a.r_ov[0][0], a.r_ov[0][1]));
    EXPECT_FALSE(at::equal(a.r_ov[0], a.r_ov[1]));
    for (const at::Tensor& r : {a.r_res, a.r_ov[0][1], a.r_ov[1][0]})
      EXPECT_LT(distance_from_orthogonal(r), 1e-12);
  }
}

/// What is left of the axes when the random Hadamard matrix is taken from behind them.
void expect_axes_of(const at::Tensor& rotation, const at::Tensor& hadamard,
                    const at::Tensor& rows) {
  const at::Tensor axes = rotation.matmul(hadamard.t());
  const at::Tensor inside = axes.t().matmul(at::cov(rows.t())).matmul(axes);
  const at::Tensor values = inside.diagonal();
  EXPECT_LT(difference(inside, values.diag()), 1e-10 * values.max().item<double>());
  EXPECT_GE((values.slice(0, 0, -1) - values.slice(0, 1)).min().item<double>(), 0);
}

TEST(InitRotations, PcaIsOfTheRowsThatTheRotationMeets) {
  const auto model = tiny_model(at::kDouble);
  const Transform pca = start(*model, "pca-hadamard"), hadamard = start(*model, "hadamard");
  std::vector<at::Tensor> rows;
  for (LlamaBlock& block : model->blocks()) {
    for (const Linear* linear : {&block.q, &block.k, &block.v})
      rows.push_back(linear->weight * block.input_norm);
    for (const Linear* linear : {&block.up, &block.gate})
      rows.push_back(linear->weight * block.post_attention_norm);
  }
  expect_axes_of(pca.r_res, hadamard.r_res, at::cat(rows));
  for (std::size_t layer = 0; layer < 2; ++layer)
    for (std::int64_t head = 0; head < 2; ++head) {
      const at::Tensor o = model->blocks()[layer].o.weight;
      expect_axes_of(pca.r_ov[layer][head], hadamard.r_ov[layer][head],
                     at::cat({o.narrow(1, 32 * head, 16), o.narrow(1, 32 * head + 16, 16)}));
    }
}

TEST(InitRotations, FoldedNormsChangeNothing) {
  const auto model = tiny_model(at::kDouble), folded = tiny_model(at::kDouble);
  fold_norms(*folded);
  const Transform a = start(*model, "pca-hadamard"), b = start(*folded, "pca-hadamard");
  EXPECT_LT(difference(a.r_res, b.r_res), 1e-9);
  EXPECT_LT(difference(a.r_ov[1], b.r_ov[1]), 1e-9);
}

}  // namespace
}  // namespace harness
