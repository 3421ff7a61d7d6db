#include "harness/kernels/hadamard.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cassert>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "harness/core/error.h"
#include "harness/kernels/hadamard_cpu.h"
#include "harness/kernels/ops_device.h"
#include "harness/kernels/row_kernels.h"

namespace harness {
namespace {

void check_inner(const at::Tensor& x, std::int64_t inner) {
  if (x.dim() == 0 || inner < 1 || x.size(-1) == 0 || x.size(-1) % inner != 0)
    throw Error("hadamard_transform",
                fmt::format("a tensor [{}] with {} values mixed together",
                            fmt::join(x.sizes(), ", "), inner),
                "a last dimension that they divide");
}

template <class T, class C>
kernels::RowKernel kernel_as(const HadamardOrder& order, std::int64_t inner, bool transposed) {
  const auto scratch_values = static_cast<std::size_t>(2 * order.m * order.power * inner);
  const at::Tensor signs = kernels::hadamard_signs(
      order.m, transposed, at::TensorOptions().dtype(c10::CppTypeToScalarType<C>::value));
  const auto scale = static_cast<C>(1 / std::sqrt(static_cast<double>(order.m * order.power)));
  return [=](const void* from, void* to, std::int64_t count) {
    const auto scratch = std::make_unique_for_overwrite<C[]>(scratch_values);
    cpu::hadamard(static_cast<const T*>(from), static_cast<T*>(to), count, order, inner,
                  signs.const_data_ptr<C>(), scale, scratch.get());
    return true;
  };
}

void on_cpu(const at::Tensor& x, at::Tensor& y, std::int64_t inner, bool transposed) {
  const kernels::RowKernel kernel = kernels::hadamard_kernel(x, inner, transposed);
  const std::int64_t features = x.size(-1);
  const std::int64_t bytes = features * static_cast<std::int64_t>(x.element_size());
  const char* from = static_cast<const char*>(x.const_data_ptr());
  char* to = static_cast<char*>(y.mutable_data_ptr());
  at::parallel_for(0, x.numel() / features, kernels::grain_of(features),
                   [&](std::int64_t begin, std::int64_t end) {
                     kernel(from + begin * bytes, to + begin * bytes, end - begin);
                   });
}

/// The same in ATen's operations, for every other device, dtype and size.
at::Tensor by_operations(const at::Tensor& x, const HadamardOrder& order, std::int64_t inner,
                         bool transposed) {
  at::Tensor y = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  for (std::int64_t stride = 1; stride < order.power; stride *= 2) {
    const at::Tensor pairs = y.reshape({-1, 2, stride * inner});
    const at::Tensor first = pairs.select(1, 0), second = pairs.select(1, 1);
    y = at::stack({first + second, first - second}, 1);
  }
  if (order.m > 1)
    y = at::matmul(kernels::hadamard_signs(order.m, !transposed, y.options()),
                   y.reshape({-1, order.m, order.power * inner}));
  const double size = static_cast<double>(order.m * order.power);
  return (y * (1 / std::sqrt(size))).reshape(x.sizes()).to(x.scalar_type());
}

at::Tensor transform(const at::Tensor& x, std::int64_t inner, bool transposed) {
  const HadamardOrder order = hadamard_order(x.size(-1) / inner);
  const bool has_kernel = x.is_cuda() || (x.is_cpu() && (x.scalar_type() == at::kFloat ||
                                                         x.scalar_type() == at::kDouble ||
                                                         x.scalar_type() == at::kBFloat16));
  if (!has_kernel) return by_operations(x, order, inner, transposed);
  // Rows are independent and lie along the last dimension: any dense order of the others will do.
  const bool as_it_lies = x.is_non_overlapping_and_dense() && x.stride(-1) == 1;
  const at::Tensor in = as_it_lies ? x : x.contiguous();
  at::Tensor out = at::empty_like(in);
  if (x.is_cuda()) {
    const at::ScalarType compute = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor signs =
        kernels::hadamard_signs(order.m, transposed, x.options().dtype(compute));
    if (kernels::hadamard_on_cuda(in, out, order, inner, signs)) return out;
    return by_operations(x, order, inner, transposed);
  }
  on_cpu(in, out, inner, transposed);
  return out;
}

/// Linear, so its gradient needs nothing of x: it is the gradient's product with the transpose.
struct HadamardFunction : torch::autograd::Function<HadamardFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            std::int64_t inner, bool transposed) {
    context->saved_data["inner"] = inner;
    context->saved_data["transposed"] = transposed;
    return transform(x, inner, transposed);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    return {hadamard_transform(gradients[0], context->saved_data["inner"].toInt(),
                               !context->saved_data["transposed"].toBool()),
            {},
            {}};
  }
};

}  // namespace

at::Tensor kernels::hadamard_signs(std::int64_t m, bool transposed,
                                   const at::TensorOptions& options) {
  static std::mutex mutex;
  static std::map<std::tuple<std::int64_t, bool, at::ScalarType, std::string>, at::Tensor> made;
  const std::lock_guard lock(mutex);
  at::Tensor& signs =
      made[{m, transposed, at::typeMetaToScalarType(options.dtype()), options.device().str()}];
  if (!signs.defined()) {
    std::vector<std::int8_t> matrix = paley_matrix(m);
    const at::Tensor bytes = at::from_blob(matrix.data(), {m, m}, at::kChar);
    signs = (transposed ? bytes.t() : bytes).to(options).contiguous();
  }
  return signs;
}

kernels::RowKernel kernels::hadamard_kernel(const at::Tensor& rows, std::int64_t inner,
                                            bool transposed) {
  check_inner(rows, inner);
  const HadamardOrder order = hadamard_order(rows.size(-1) / inner);
  if (rows.scalar_type() == at::kFloat) return kernel_as<float, float>(order, inner, transposed);
  if (rows.scalar_type() == at::kDouble) return kernel_as<double, double>(order, inner, transposed);
  assert(rows.scalar_type() == at::kBFloat16);
  return kernel_as<std::uint16_t, float>(order, inner, transposed);
}

at::Tensor hadamard_transform(const at::Tensor& x, std::int64_t inner, bool transposed) {
  check_inner(x, inner);
  if (x.numel() == 0) return x;
  if (at::GradMode::is_enabled() && x.requires_grad())
    return HadamardFunction::apply(x, inner, transposed);
  return transform(x, inner, transposed);
}

}  // namespace harness
