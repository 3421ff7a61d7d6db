#include "harness/kernels/hadamard.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <tuple>

#include "harness/core/error.h"
#include "harness/kernels/hadamard_cpu.h"
#include "harness/kernels/ops_device.h"

namespace harness {
namespace {

// Values a thread takes at least: below, starting threads costs more than the work.
constexpr std::int64_t kGrain = 32768;

/// H_m, or its transpose, as [m, m] +1 and -1; made once per order, dtype and device.
at::Tensor signs_of(std::int64_t m, bool transposed, const at::TensorOptions& options) {
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

template <class T, class C>
void on_cpu(const at::Tensor& x, at::Tensor& y, const HadamardOrder& order, std::int64_t inner,
            bool transposed) {
  const std::int64_t block = order.m * order.power * inner, features = order.blocks * block;
  const at::Tensor signs =
      signs_of(order.m, transposed, at::TensorOptions().dtype(c10::CppTypeToScalarType<C>::value));
  const auto scale = static_cast<C>(1 / std::sqrt(static_cast<double>(order.m * order.power)));
  const T* from = static_cast<const T*>(x.const_data_ptr());
  T* to = static_cast<T*>(y.mutable_data_ptr());
  at::parallel_for(0, x.numel() / features, std::max<std::int64_t>(1, kGrain / features),
                   [&](std::int64_t begin, std::int64_t end) {
                     std::vector<C> scratch(static_cast<std::size_t>(2 * block));
                     cpu::hadamard(from + begin * features, to + begin * features, end - begin,
                                   order, inner, signs.const_data_ptr<C>(), scale, scratch.data());
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
    y = at::matmul(signs_of(order.m, !transposed, y.options()),
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
    const at::Tensor signs = signs_of(order.m, transposed, x.options().dtype(compute));
    if (kernels::hadamard_on_cuda(in, out, order, inner, signs)) return out;
    return by_operations(x, order, inner, transposed);
  }
  if (x.scalar_type() == at::kFloat)
    on_cpu<float, float>(in, out, order, inner, transposed);
  else if (x.scalar_type() == at::kDouble)
    on_cpu<double, double>(in, out, order, inner, transposed);
  else
    on_cpu<std::uint16_t, float>(in, out, order, inner, transposed);
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

at::Tensor hadamard_transform(const at::Tensor& x, std::int64_t inner, bool transposed) {
  if (x.dim() == 0 || inner < 1 || x.size(-1) == 0 || x.size(-1) % inner != 0)
    throw Error("hadamard_transform",
                fmt::format("a tensor [{}] with {} values mixed together",
                            fmt::join(x.sizes(), ", "), inner),
                "a last dimension that they divide");
  if (x.numel() == 0) return x;
  if (at::GradMode::is_enabled() && x.requires_grad())
    return HadamardFunction::apply(x, inner, transposed);
  return transform(x, inner, transposed);
}

}  // namespace harness
