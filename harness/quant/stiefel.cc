#include "harness/quant/stiefel.h"

#include <ATen/ATen.h>

#include <cmath>

namespace harness {
namespace {

at::Tensor identity_like(const at::Tensor& matrices) {
  return at::eye(matrices.size(-1), matrices.options());
}

at::Tensor matrix_sum(const at::Tensor& values) { return values.sum({-2, -1}, /*keepdim=*/true); }

/// The canonical inner product of a tangent vector with itself: tr(U^T (I - R R^T / 2) U).
at::Tensor squared_norm(const at::Tensor& point, const at::Tensor& tangent) {
  return matrix_sum(tangent.square()) - 0.5 * matrix_sum(at::matmul(point.mT(), tangent).square());
}

/// The direction in which Adam goes, before the learning rate.
at::Tensor direction_of(const AdamMoments& moments, std::int64_t step, const AdamOptions& options) {
  const auto count = static_cast<double>(step);
  const double correction1 = 1 - std::pow(options.beta1, count);
  const double correction2 = 1 - std::pow(options.beta2, count);
  return (moments.first / correction1) /
         (moments.second / correction2).sqrt_().add_(options.epsilon);
}

}  // namespace

AdamMoments adam_moments(const at::Tensor& parameter) {
  return {at::zeros_like(parameter), at::zeros_like(parameter)};
}

AdamMoments stiefel_moments(const at::Tensor& point) {
  std::vector<std::int64_t> one_a_matrix = point.sizes().vec();
  *(one_a_matrix.end() - 1) = *(one_a_matrix.end() - 2) = 1;
  return {at::zeros_like(point), at::zeros(one_a_matrix, point.options())};
}

void adam_step(at::Tensor& parameter, AdamMoments& moments, const at::Tensor& gradient, double lr,
               std::int64_t step, const AdamOptions& options) {
  moments.first.mul_(options.beta1).add_(gradient, 1 - options.beta1);
  moments.second.mul_(options.beta2).add_(gradient.square(), 1 - options.beta2);
  parameter.add_(direction_of(moments, step, options), -lr);
}

void stiefel_adam_step(at::Tensor& point, AdamMoments& moments, const at::Tensor& gradient,
                       double lr, std::int64_t step, const AdamOptions& options) {
  const at::Tensor riemannian = gradient - at::matmul(at::matmul(point, gradient.mT()), point);
  moments.first.mul_(options.beta1).add_(riemannian, 1 - options.beta1);
  moments.second.mul_(options.beta2).add_(squared_norm(point, riemannian), 1 - options.beta2);
  const at::Tensor u = direction_of(moments, step, options).mul_(-lr);
  // Cayley: (I - A/2)^-1 (I + A/2) with A = U R^T - R U^T turns the point and what hangs on it.
  at::Tensor a = at::matmul(u, point.mT());
  a = a - a.mT();
  const at::Tensor turned = at::cat({point, moments.first}, -1);
  const at::Tensor both =
      at::linalg_solve(identity_like(point) - 0.5 * a, turned + 0.5 * at::matmul(a, turned));
  const std::int64_t n = point.size(-1);
  point.copy_(both.narrow(-1, 0, n));
  moments.first.copy_(both.narrow(-1, n, n));
}

at::Tensor nearest_orthogonal(const at::Tensor& matrices) {
  // Each round squares the error; what rounding allows is reached when it stops falling.
  const at::Tensor eye = identity_like(matrices);
  at::Tensor result = matrices;
  double error = orthogonality_error(result);
  for (;;) {
    const at::Tensor next = at::matmul(result, 1.5 * eye - 0.5 * at::matmul(result.mT(), result));
    const double next_error = orthogonality_error(next);
    if (!(next_error < error)) return result;
    result = next;
    error = next_error;
  }
}

void stiefel_stabilize(at::Tensor& point, AdamMoments& moments) {
  point.copy_(nearest_orthogonal(point));
  const at::Tensor& momentum = moments.first;
  moments.first.copy_(0.5 * (momentum - at::matmul(at::matmul(point, momentum.mT()), point)));
}

double orthogonality_error(const at::Tensor& matrices) {
  return (at::matmul(matrices.mT(), matrices) - identity_like(matrices)).abs().max().item<double>();
}

}  // namespace harness
