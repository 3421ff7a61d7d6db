#include "harness/model/rope.h"

#include <ATen/ATen.h>

#include "tests/support/support.h"

namespace harness::test {
namespace {

LlamaConfig config_with(const std::string& type) {
  LlamaConfig config;
  config.head_dim = 8;
  config.rope_theta = 10000.0;
  config.rope_scaling.type = type;
  config.rope_scaling.factor = 4.0;
  return config;
}

TEST(Rope, FrequenciesFallAsPowersOfTheta) {
  EXPECT_TRUE(at::allclose(rope_frequencies(config_with("default"), at::kDouble),
                           at::tensor({1.0, 0.1, 0.01, 0.001}, at::kDouble), 1e-12));
}

TEST(Rope, LinearScalingDividesEveryFrequency) {
  EXPECT_TRUE(at::allclose(rope_frequencies(config_with("linear"), at::kDouble),
                           at::tensor({0.25, 0.025, 0.0025, 0.00025}, at::kDouble), 1e-12));
}

// Wavelengths 6.3, 63, 628, 6283 with 512 positions: kept up to 512/4 = 128, divided by 4 beyond
// 512.
TEST(Rope, Llama3ScalingKeepsShortWavelengthsAndStretchesLongOnes) {
  LlamaConfig config = config_with("llama3");
  config.rope_scaling.original_max_position_embeddings = 512;
  EXPECT_TRUE(at::allclose(rope_frequencies(config, at::kDouble),
                           at::tensor({1.0, 0.1, 0.0025, 0.00025}, at::kDouble), 1e-12));
}

// With 1024 positions the wavelength 628 lies between 256 and 1024: share (1024/628.3 - 1)/3 =
// 0.20992.
TEST(Rope, Llama3ScalingBlendsBetween) {
  LlamaConfig config = config_with("llama3");
  config.rope_scaling.original_max_position_embeddings = 1024;
  const double blended = rope_frequencies(config, at::kDouble)[2].item<double>();
  EXPECT_NEAR(blended, 0.01 * (0.790082 / 4 + 0.209918), 1e-6);
}

TEST(Rope, AnUnknownTypeIsNamed) {
  const std::string error = error_of([] { rope_frequencies(config_with("longrope"), at::kFloat); });
  EXPECT_NE(error.find("longrope"), std::string::npos);
  EXPECT_NE(error.find("llama3"), std::string::npos);
}

TEST(Rope, AnglesAreFloat32UnlessTheModelIsFloat64) {
  const LlamaConfig config = config_with("default");
  EXPECT_EQ(make_rope(config, 3, at::kBFloat16, at::kCPU).cos.scalar_type(), at::kFloat);
  EXPECT_EQ(make_rope(config, 3, at::kDouble, at::kCPU).sin.scalar_type(), at::kDouble);
  EXPECT_EQ(make_rope(config, 3, at::kDouble, at::kCPU).sin.sizes(), at::IntArrayRef({3, 4}));
}

}  // namespace
}  // namespace harness::test
