#include "harness/kernels/packed_linear.h"

#include <ATen/Context.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "harness/kernels/cpu_kernels.h"

namespace harness {

namespace {

// The operators behind torch.compile's CPU back end; no header declares them.
using Reorder = at::Tensor(const at::Tensor&, std::optional<std::int64_t>);
using Pointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                             std::string_view, c10::List<std::optional<at::Scalar>>,
                             std::optional<std::string_view>);
constexpr const char* kReorder = "mkldnn::_reorder_linear_weight";
constexpr const char* kPointwise = "mkldnn::_linear_pointwise";

// Rows of x for which the layout is chosen; any number is right, this one is a window's.
constexpr std::int64_t kRows = 2048;

// 1 MB of float32: what a core's cache holds.
constexpr std::int64_t kLargeWeight = std::int64_t{1} << 18;

bool supported(at::Device device) {
  static const bool there = [] {
    c10::Dispatcher& dispatcher = c10::Dispatcher::singleton();
    return at::hasMKLDNN() && kernels::cpu_has_avx512() &&
           dispatcher.findSchema({kReorder, ""}).has_value() &&
           dispatcher.findSchema({kPointwise, ""}).has_value();
  }();
  return there && device.is_cpu();
}

}  // namespace

bool can_pack(at::ScalarType dtype, at::Device device) {
  return dtype == at::kBFloat16 && supported(device);
}

bool can_pack(const at::Tensor& weight) { return can_pack(weight.scalar_type(), weight.device()); }

bool can_pack_for_few_rows(const at::Tensor& weight) {
  return weight.scalar_type() == at::kFloat && weight.numel() >= kLargeWeight &&
         supported(weight.device());
}

bool packed_is_faster(const at::Tensor& x) {
  const std::int64_t rows = x.numel() / x.size(-1);
  return x.scalar_type() == at::kBFloat16 || (rows >= 4 && rows <= 256);
}

at::Tensor pack_weight(const at::Tensor& weight) {
  static const auto reorder =
      c10::Dispatcher::singleton().findSchemaOrThrow(kReorder, "").typed<Reorder>();
  return reorder.call(weight, kRows);
}

at::Tensor packed_linear(const at::Tensor& x, const at::Tensor& packed,
                         const std::optional<at::Tensor>& bias) {
  static const auto linear =
      c10::Dispatcher::singleton().findSchemaOrThrow(kPointwise, "").typed<Pointwise>();
  return linear.call(x, packed, bias, "none", c10::List<std::optional<at::Scalar>>(), "");
}

}  // namespace harness
