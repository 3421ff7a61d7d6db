#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

// Adam on orthogonal matrices, as geoopt 0.5.1 does it (RiemannianAdam on its canonical Stiefel
// manifold), and plain Adam. Both batched: every matrix in the last two dimensions is a point of
// its own.

namespace harness {

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

/// What Adam keeps of a parameter.
struct AdamMoments {
  at::Tensor first;   // shape of the parameter
  at::Tensor second;  // plain: the same; Stiefel: [..., 1, 1], one a matrix
};
AdamMoments adam_moments(const at::Tensor& parameter);
AdamMoments stiefel_moments(const at::Tensor& point);

/// One step of plain Adam, in place.
/// @param step counted from 1
void adam_step(at::Tensor& parameter, AdamMoments& moments, const at::Tensor& gradient, double lr,
               std::int64_t step, const AdamOptions& options = {});

/// One step on the manifold, in place: the Riemannian gradient G - R G^T R, a second moment from
/// its canonical norm, and Cayley's retraction, which carries the first moment along.
/// @param point    [..., n, n], orthogonal
/// @param gradient the Euclidean one, of the same shape
/// @param step     counted from 1
void stiefel_adam_step(at::Tensor& point, AdamMoments& moments, const at::Tensor& gradient,
                       double lr, std::int64_t step, const AdamOptions& options = {});

/// The nearest orthogonal matrix (the polar factor) of each matrix that is nearly orthogonal
/// already, by Newton's and Schulz's iteration: products only.
at::Tensor nearest_orthogonal(const at::Tensor& matrices);

/// Takes off what rounding has left: the point becomes the nearest orthogonal matrix, its first
/// moment the nearest tangent there. (geoopt's `stabilize` puts twice that moment there: its
/// Riemannian gradient is no projection.)
void stiefel_stabilize(at::Tensor& point, AdamMoments& moments);

/// The largest |R^T R - I| of all entries.
double orthogonality_error(const at::Tensor& matrices);

}  // namespace harness
