#include "harness/quant/stiefel.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "harness/model/safetensors.h"
#include "tests/support/support.h"

namespace harness {
namespace {

const SafetensorsFile& golden() {
  static const SafetensorsFile file(test::golden("transform_training/golden.safetensors"));
  return file;
}

at::Tensor load(const std::string& name) { return golden().load(name).clone(); }

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

/// The generator's loss: weight (R - target)^4.
at::Tensor gradient_at(const at::Tensor& point) {
  const at::ScalarType dtype = point.scalar_type();
  return 4 * load("stiefel.weight").to(dtype) * (point - load("stiefel.target").to(dtype)).pow(3);
}

double rate(std::int64_t step) { return 0.0169 * (1 - static_cast<double>(step - 1) / 20); }

TEST(Stiefel, TwentyStepsAreGeooptsStepByStep) {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    const std::string name = dtype == at::kDouble ? "stiefel.f64" : "stiefel.f32";
    const double tolerance = dtype == at::kDouble ? 1e-13 : 5e-6;
    at::Tensor point = load("stiefel.start").to(dtype);
    AdamMoments moments = stiefel_moments(point);
    const at::Tensor points = load(name + ".points"), momenta = load(name + ".momenta");
    for (std::int64_t step = 1; step <= 20; ++step) {
      stiefel_adam_step(point, moments, gradient_at(point), rate(step), step);
      EXPECT_LT(difference(point, points[step - 1]), tolerance) << name << ", step " << step;
      EXPECT_LT(difference(moments.first, momenta[step - 1]), 10 * tolerance)
          << name << ", step " << step;
    }
    EXPECT_GT(difference(point, load("stiefel.start")), 0.05);
  }
}

TEST(Stiefel, AMatrixOfABatchGoesItsOwnWay) {
  at::Tensor all = load("stiefel.start"), one = all[1][2].clone();
  const at::Tensor gradient = gradient_at(all);
  AdamMoments of_all = stiefel_moments(all), of_one = stiefel_moments(one);
  stiefel_adam_step(all, of_all, gradient, 0.1, 1);
  stiefel_adam_step(one, of_one, gradient[1][2].clone(), 0.1, 1);
  EXPECT_LT(difference(all[1][2], one), 1e-14);
}

TEST(Stiefel, StabilisedPointIsGeooptsAndItsMomentumTheTangentPart) {
  at::Tensor point = load("stiefel.start").to(at::kFloat);
  AdamMoments moments = stiefel_moments(point);
  for (std::int64_t step = 1; step <= 5; ++step)
    stiefel_adam_step(point, moments, gradient_at(point), rate(step), step);
  const at::Tensor before = moments.first.clone();
  stiefel_stabilize(point, moments);
  EXPECT_LT(difference(point, load("stiefel.f32.stabilized.points")[4]), 2e-6);
  EXPECT_LT(difference(2 * moments.first, load("stiefel.f32.stabilized.momenta")[4]), 2e-5);
  EXPECT_LT(difference(moments.first, before), 1e-5);  // it was a tangent but for rounding
}

TEST(Stiefel, StaysOrthogonalInFloat32OverAThousandSteps) {
  const at::Generator generator = at::detail::createCPUGenerator(5);
  at::Tensor point =
      std::get<0>(at::linalg_qr(at::randn({2, 48, 48}, generator, at::kFloat))).contiguous();
  const at::Tensor target = at::randn({2, 48, 48}, generator, at::kFloat);
  AdamMoments moments = stiefel_moments(point);
  for (std::int64_t step = 1; step <= 1000; ++step) {
    const at::Tensor noise = 0.1 * at::randn({2, 48, 48}, generator, at::kFloat);
    stiefel_adam_step(point, moments, point - target + noise, 0.0169, step);
    if (step % 10 == 0) stiefel_stabilize(point, moments);
  }
  EXPECT_LT(orthogonality_error(point), 1e-5);
}

TEST(Stiefel, NearestOrthogonalIsThePolarFactor) {
  const at::Tensor start = load("stiefel.start");
  const at::Tensor off =
      start + 0.05 * at::randn(start.sizes(), at::detail::createCPUGenerator(6), at::kDouble);
  const auto [u, s, v] = at::linalg_svd(off, /*full_matrices=*/false);
  EXPECT_LT(difference(nearest_orthogonal(off), at::matmul(u, v)), 1e-13);
}

TEST(Stiefel, PlainAdamIsTorchs) {
  at::Tensor scale = at::ones({7}, at::kDouble);
  AdamMoments moments = adam_moments(scale);
  const at::Tensor values = load("adam.values"), target = at::arange(7, at::kDouble);
  for (std::int64_t step = 1; step <= 20; ++step) {
    const at::Tensor gradient = 2 * (scale - target) * scale + (scale - target).square();
    adam_step(scale, moments, gradient, 0.0018, step);
    EXPECT_LT(difference(scale, values[step - 1]), 1e-14) << step;
  }
}

}  // namespace
}  // namespace harness
