// CUDA against the CPU: the same bits. Skips where there is no GPU (or a build without CUDA).

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <limits>

#include "harness/kernels/ops.h"
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

TEST_F(CudaKernels, NanNamesTheTensorAndTheIndex) {
  at::Tensor x = at::ones({4, 5000}, at::TensorOptions(at::kBFloat16).device(at::kCUDA));
  x[2][4321] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(test::error_of([&] {
                fake_quantize(x, {4, 0, false, 1.0}, "K of layer 2");
              }),
              testing::AllOf(testing::HasSubstr("K of layer 2"), testing::HasSubstr("[2, 4321]")));
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

}  // namespace
}  // namespace harness
