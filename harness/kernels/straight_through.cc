#include "harness/kernels/straight_through.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "harness/kernels/cpu_kernels.h"
#include "harness/kernels/ops.h"
#include "harness/kernels/ops_device.h"

namespace harness {
namespace {

enum class Kind { activation, weight };

/// Values that reach an extreme share its gradient evenly.
/// @param reached bool [groups, group]; gradient [groups, 1]
at::Tensor shared(const at::Tensor& reached, const at::Tensor& gradient) {
  return reached * (gradient / reached.sum(-1, true));
}

/// d loss / d x from d loss / d (quantized x), both [groups, group] in the quantizer's arithmetic.
at::Tensor gradient_of(const at::Tensor& gradient, const at::Tensor& x, const QuantSpec& spec,
                       Kind kind) {
  const at::Tensor max = x.amax(-1, true), min = x.amin(-1, true);
  const at::Tensor high = max * spec.clip, low = min * spec.clip;
  at::Tensor scale, zero;
  double lowest = 0, highest = (1 << spec.bits) - 1;
  const double half = 1 << (spec.bits - 1);
  // The steps that the largest and the smallest value ask for, where a symmetric scale is the
  // larger of two.
  at::Tensor step_high, step_low;
  if (!spec.symmetric) {
    const at::Tensor bottom = low.clamp_max(0);
    scale = (high.clamp_min(1e-6) - bottom).clamp_min(1e-6) / highest;
    zero = (-bottom / scale).round_();
  } else {
    lowest = -half;
    highest = half - 1;
    zero = at::zeros_like(max);
    if (kind == Kind::weight) {
      step_high = high.clamp_min(1e-6) / highest;
      step_low = low.clamp_max(0) / lowest;
      scale = at::maximum(step_high, step_low);
    } else {
      scale = at::maximum(high, -low) / highest;
      scale.masked_fill_(scale == 0, 1);
    }
  }
  const at::Tensor steps = x / scale;
  const at::Tensor code = steps.round().add_(zero);
  const at::Tensor inside = code.ge(lowest).logical_and_(code.le(highest));
  const at::Tensor by_scale =
      (gradient * (code.clamp(lowest, highest).sub_(zero) - inside * steps)).sum(-1, true);
  at::Tensor result = inside * gradient;
  if (!spec.symmetric) {
    const at::Tensor by_extreme = by_scale * (spec.clip / highest);
    result += shared(x == max, by_extreme * high.ge(1e-6));
    result -= shared(x == min, by_extreme * low.le(0));
  } else if (kind == Kind::weight) {
    const at::Tensor tie = 0.5 * (step_high == step_low).to(x.scalar_type());
    const at::Tensor by_high = by_scale * ((step_high > step_low) + tie);
    const at::Tensor by_low = by_scale * ((step_low > step_high) + tie);
    result += shared(x == max, by_high * high.ge(1e-6) * (spec.clip / highest));
    result += shared(x == min, by_low * low.le(0) * (spec.clip / lowest));
  } else {
    const at::Tensor magnitude = at::maximum(max, -min);
    result += shared(x.abs() == magnitude, by_scale * (spec.clip / highest)) * x.sign();
  }
  return result;
}

/// The same in one pass over memory.
at::Tensor gradient_in_one_pass(const at::Tensor& gradient, const at::Tensor& x,
                                const QuantSpec& spec, Kind kind) {
  const std::string what = "gradient of fake quantization";
  const kernels::QuantizerParams params =
      kernels::params_of(spec,
                         kind == Kind::weight ? kernels::Scheme::symmetric_weight
                                              : kernels::Scheme::symmetric_activation,
                         false, what);
  const std::int64_t group = kernels::group_of(x, spec, what);
  // Groups lie along the last dimension: any dense order of the others will do.
  const bool as_it_lies = x.is_non_overlapping_and_dense() && x.stride(-1) == 1;
  const at::Tensor values = as_it_lies ? x : x.contiguous();
  at::Tensor result = at::empty_like(values);
  const at::Tensor incoming =
      gradient.strides() == values.strides() ? gradient : at::empty_like(values).copy_(gradient);
  if (values.is_cuda()) {
    kernels::straight_through_gradient_on_cuda(values, incoming, result, group, params);
    return result;
  }
  const std::int64_t bytes = group * static_cast<std::int64_t>(values.element_size());
  const char* from = static_cast<const char*>(values.const_data_ptr());
  const char* by = static_cast<const char*>(incoming.const_data_ptr());
  char* to = static_cast<char*>(result.mutable_data_ptr());
  at::parallel_for(0, values.numel() / group, kernels::grain_of(group),
                   [&](std::int64_t begin, std::int64_t end) {
                     kernels::supported_cpu_kernels().front()->straight_through_gradient(
                         kernels::kernel_dtype(values, what), from + begin * bytes,
                         by + begin * bytes, to + begin * bytes, end - begin, group, params);
                   });
  return result;
}

bool has_kernel(const at::Tensor& x) {
  return x.is_cuda() ||
         (x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16));
}

class StraightThrough : public torch::autograd::Function<StraightThrough> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const QuantSpec& spec, Kind kind, const std::string& what) {
    context->save_for_backward({x});
    context->saved_data["bits"] = static_cast<std::int64_t>(spec.bits);
    context->saved_data["group"] = spec.group;
    context->saved_data["symmetric"] = spec.symmetric;
    context->saved_data["clip"] = spec.clip;
    context->saved_data["weight"] = kind == Kind::weight;
    return kind == Kind::activation ? fake_quantize(x, spec, what)
                                    : fake_quantize_weight(x, spec, what);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const at::Tensor x = context->get_saved_variables()[0];
    QuantSpec spec;
    spec.bits = static_cast<int>(context->saved_data["bits"].toInt());
    spec.group = context->saved_data["group"].toInt();
    spec.symmetric = context->saved_data["symmetric"].toBool();
    spec.clip = context->saved_data["clip"].toDouble();
    const Kind kind = context->saved_data["weight"].toBool() ? Kind::weight : Kind::activation;
    if (has_kernel(x)) return {gradient_in_one_pass(gradients[0], x, spec, kind), {}, {}, {}};
    const at::ScalarType compute = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const std::int64_t group = spec.group == 0 ? x.size(-1) : spec.group;
    auto groups = [&](const at::Tensor& values) { return values.to(compute).reshape({-1, group}); };
    const at::Tensor gradient = gradient_of(groups(gradients[0]), groups(x), spec, kind);
    return {gradient.view(x.sizes()).to(x.scalar_type()), {}, {}, {}};
  }
};

}  // namespace

at::Tensor fake_quantize_straight_through(const at::Tensor& x, const QuantSpec& spec,
                                          const std::string& what) {
  return spec.active() ? StraightThrough::apply(x, spec, Kind::activation, what) : x;
}

at::Tensor quantize_weight_straight_through(const at::Tensor& weight, const QuantSpec& spec,
                                            const std::string& what) {
  return spec.active() ? StraightThrough::apply(weight, spec, Kind::weight, what) : weight;
}

}  // namespace harness
