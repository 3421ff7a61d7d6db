#include "harness/quant/wide.h"

#include <ATen/ATen.h>

namespace harness {

at::ScalarType wide_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

at::Tensor scaled(const at::Tensor& x, const at::Tensor& scale) {
  return scale.defined() ? (x.to(wide_type(x)) * scale).to(x.scalar_type()) : x;
}
at::Tensor unscaled(const at::Tensor& x, const at::Tensor& scale) {
  return scale.defined() ? (x.to(wide_type(x)) / scale).to(x.scalar_type()) : x;
}

at::Tensor rotated(const at::Tensor& x, const at::Tensor& rotation) {
  return rotation.defined() ? x.matmul(rotation.to(x.scalar_type())) : x;
}
at::Tensor unrotated(const at::Tensor& x, const at::Tensor& rotation) {
  return rotation.defined() ? x.matmul(rotation.mT().to(x.scalar_type())) : x;
}

}  // namespace harness
