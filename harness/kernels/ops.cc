#include "harness/kernels/ops.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cmath>

#include "harness/core/error.h"
#include "harness/kernels/cpu_kernels.h"
#include "harness/kernels/ops_device.h"
#include "harness/kernels/row_kernels.h"

namespace harness {
namespace kernels {

DType kernel_dtype(const at::Tensor& tensor, const std::string& what) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return DType::f32;
    case at::kDouble:
      return DType::f64;
    case at::kBFloat16:
      return DType::bf16;
    case at::kHalf:
      return DType::f16;
    default:
      throw Error(what, fmt::format("a tensor of {}", c10::toString(tensor.scalar_type())),
                  "float32, float64, bfloat16 or float16");
  }
}

QuantizerParams params_of(const QuantSpec& spec, Scheme symmetric, bool mse_clip,
                          const std::string& what) {
  if (spec.bits < 2 || spec.bits > 8)
    throw Error(what, fmt::format("{} bits", spec.bits), "2 to 8 bits, or 16 for untouched");
  if (!(spec.clip > 0 && spec.clip <= 1))
    throw Error(what, fmt::format("clip {}", spec.clip), "more than 0 and at most 1");
  return {spec.symmetric ? symmetric : Scheme::asymmetric, spec.bits, spec.clip, mse_clip};
}

std::int64_t group_of(const at::Tensor& x, const QuantSpec& spec, const std::string& what) {
  const std::int64_t features = x.size(-1);
  const std::int64_t group = spec.group == 0 ? features : spec.group;
  if (group < 0 || group > features || features % group != 0)
    throw Error(what, fmt::format("group {} with {} features", group, features),
                "a group that divides the features",
                "choose another group, or 0 for the whole row");
  return group;
}

std::int64_t grain_of(std::int64_t group) {
  constexpr std::int64_t kGrain = 32768;  // values
  return std::max<std::int64_t>(1, kGrain / group);
}

}  // namespace kernels

namespace {

using kernels::CpuKernels;
using kernels::grain_of;
using kernels::group_of;
using kernels::params_of;
using kernels::QuantizerParams;
using kernels::Scheme;

const CpuKernels& cpu() { return *kernels::supported_cpu_kernels().front(); }

[[noreturn]] void throw_not_finite(const at::Tensor& x, const std::string& what) {
  const at::Tensor index = at::isfinite(x).logical_not().nonzero()[0].cpu();
  at::Tensor value = x;
  std::vector<std::int64_t> place;
  for (std::int64_t i = 0; i < index.numel(); ++i) {
    place.push_back(index[i].item<std::int64_t>());
    value = value.select(0, place.back());
  }
  const double number = value.item<double>();
  throw NotFinite(what,
                  fmt::format("{} at index [{}]",
                              std::isnan(number) ? "NaN"
                              : number > 0       ? "infinity"
                                                 : "-infinity",
                              fmt::join(place, ", ")),
                  "finite values",
                  "look for an overflow before this tensor, or run in bf16 or fp32");
}

/// Splits `groups` over the threads.
/// @param run (first group, number of groups) -> whether all values were finite
template <class Run>
bool parallel_groups(std::int64_t groups, std::int64_t group, Run&& run) {
  std::atomic<bool> finite{true};
  at::parallel_for(0, groups, grain_of(group), [&](std::int64_t begin, std::int64_t end) {
    if (!run(begin, end - begin)) finite = false;
  });
  return finite;
}

/// @param symmetric scheme of a symmetric spec
at::Tensor fake_quantize_as(const at::Tensor& x, const QuantSpec& spec, Scheme symmetric,
                            const std::string& what) {
  if (!spec.active()) return x;
  const kernels::DType dtype = kernels::kernel_dtype(x, what);
  if (x.dim() == 0) throw Error(what, "a scalar", "a tensor with a feature dimension");
  const QuantizerParams params = params_of(spec, symmetric, false, what);
  if (x.numel() == 0) return x;
  const std::int64_t group = group_of(x, spec, what);

  // Groups are independent and lie along the last dimension: any dense order of the others will do.
  const bool as_it_lies = x.is_non_overlapping_and_dense() && x.stride(-1) == 1;
  const at::Tensor in = as_it_lies ? x : x.contiguous();
  at::Tensor out = at::empty_like(in);
  if (!x.is_cpu()) {
    kernels::fake_quantize_on_cuda(in, out, group, params, what);
    return out;
  }
  const std::int64_t bytes = group * static_cast<std::int64_t>(in.element_size());
  const char* from = static_cast<const char*>(in.const_data_ptr());
  char* to = static_cast<char*>(out.mutable_data_ptr());
  const bool finite =
      parallel_groups(in.numel() / group, group, [&](std::int64_t first, std::int64_t groups) {
        return cpu().fake_quantize(dtype, from + first * bytes, to + first * bytes, groups, group,
                                   params);
      });
  if (!finite) throw_not_finite(x, what);
  return out;
}

}  // namespace

kernels::RowKernel kernels::fake_quantize_kernel(const at::Tensor& rows, const QuantSpec& spec,
                                                 const std::string& what) {
  const DType dtype = kernel_dtype(rows, what);
  const QuantizerParams params = params_of(spec, Scheme::symmetric_activation, false, what);
  const std::int64_t group = group_of(rows, spec, what), groups = rows.size(-1) / group;
  return [=](const void* from, void* to, std::int64_t count) {
    return cpu().fake_quantize(dtype, from, to, count * groups, group, params);
  };
}

void check_quantized(at::Device device) {
  if (device.is_cuda()) kernels::check_quantized_on_cuda(device);
}

const char* cpu_implementation() { return cpu().name; }

void check_finite(const at::Tensor& x, const std::string& what) {
  // NaN and infinity stay in a sum, which reads x once and writes nothing. Finite values may
  // overflow in it.
  const at::Tensor sum = x.sum();
  if (!std::isfinite(sum.item<double>()) && !at::isfinite(x).all().item<bool>())
    throw_not_finite(x, what);
}

at::Tensor fake_quantize(const at::Tensor& x, const QuantSpec& spec, const std::string& what) {
  return fake_quantize_as(x, spec, Scheme::symmetric_activation, what);
}

at::Tensor fake_quantize_weight(const at::Tensor& weight, const QuantSpec& spec,
                                const std::string& what) {
  at::Tensor y = fake_quantize_as(weight, spec, Scheme::symmetric_weight, what);
  check_quantized(weight.device());
  return y;
}

QuantizedWeight quantize_weight(const at::Tensor& weight, const QuantSpec& spec, bool mse_clip,
                                const std::string& what) {
  const kernels::DType dtype = kernels::kernel_dtype(weight, what);
  if (weight.dim() != 2 || weight.numel() == 0)
    throw Error(
        what, fmt::format("a tensor of {} dimensions and {} values", weight.dim(), weight.numel()),
        "a weight [out, in]");
  const QuantizerParams params = params_of(spec, Scheme::symmetric_weight, mse_clip, what);
  const std::int64_t group = group_of(weight, spec, what);
  const at::Tensor in = weight.contiguous();
  const at::ScalarType compute = in.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const std::vector<std::int64_t> grids = {in.size(0), in.size(1) / group};

  QuantizedWeight result;
  result.spec = spec;
  result.codes = at::empty(in.sizes(), in.options().dtype(spec.symmetric ? at::kChar : at::kByte));
  result.scales = at::empty(grids, in.options().dtype(compute));
  if (!spec.symmetric) result.zeros = at::empty(grids, in.options().dtype(compute));
  if (!in.is_cpu()) {
    kernels::quantize_on_cuda(in, result.codes, result.scales, result.zeros, group, params, what);
    return result;
  }
  const std::int64_t bytes = group * static_cast<std::int64_t>(in.element_size());
  const std::int64_t grid_bytes = static_cast<std::int64_t>(result.scales.element_size());
  const char* from = static_cast<const char*>(in.const_data_ptr());
  char* codes = static_cast<char*>(result.codes.mutable_data_ptr());
  char* scales = static_cast<char*>(result.scales.mutable_data_ptr());
  char* zeros = spec.symmetric ? nullptr : static_cast<char*>(result.zeros.mutable_data_ptr());
  const bool finite =
      parallel_groups(in.numel() / group, group, [&](std::int64_t first, std::int64_t groups) {
        return cpu().quantize(dtype, from + first * bytes, codes + first * group,
                              scales + first * grid_bytes,
                              zeros ? zeros + first * grid_bytes : nullptr, groups, group, params);
      });
  if (!finite) throw_not_finite(weight, what);
  return result;
}

at::Tensor QuantizedWeight::dequantize(at::ScalarType dtype) const {
  const at::ScalarType compute = scales.scalar_type();
  const std::int64_t rows = codes.size(0), groups = scales.size(1);
  at::Tensor values = codes.to(compute).view({rows, groups, codes.size(1) / groups});
  if (zeros.defined()) values.sub_(zeros.unsqueeze(-1));
  values.mul_(scales.unsqueeze(-1));
  double limit;  // of dtype: what lies beyond becomes the largest finite value, as in fake_quantize
  switch (dtype) {
    case at::kHalf:
      limit = kernels::largest_finite<kernels::Half>();
      break;
    case at::kBFloat16:
      limit = kernels::largest_finite<kernels::Bf16>();
      break;
    case at::kDouble:
      limit = kernels::largest_finite<double>();
      break;
    default:
      limit = kernels::largest_finite<float>();
  }
  if (compute == at::kDouble || dtype != at::kDouble) values.clamp_(-limit, limit);
  return values.view(codes.sizes()).to(dtype);
}

at::Tensor token_nll(const at::Tensor& logits, const at::Tensor& targets) {
  const std::string what = "token_nll";
  const kernels::DType dtype = kernels::kernel_dtype(logits, what);
  if (logits.dim() != 2 || targets.dim() != 1 || targets.size(0) != logits.size(0) ||
      targets.scalar_type() != at::kLong || logits.size(1) == 0)
    throw Error(what,
                fmt::format("logits [{}] and {} targets [{}]", fmt::join(logits.sizes(), ", "),
                            c10::toString(targets.scalar_type()), fmt::join(targets.sizes(), ", ")),
                "logits [n, vocabulary] and int64 targets [n]");
  const std::int64_t rows = logits.size(0), vocabulary = logits.size(1);
  at::Tensor nll = at::empty({rows}, logits.options().dtype(at::kFloat));
  if (rows == 0) return nll;
  const at::Tensor in = logits.contiguous();
  const at::Tensor wanted =
      targets.to(in.device(), at::kLong, /*non_blocking=*/!in.is_cpu()).contiguous();
  // Those on CUDA the kernel sees to: to ask here would be to wait for all that goes before.
  if (const at::Tensor& checked = in.is_cpu() ? wanted : targets; checked.is_cpu()) {
    const at::Tensor wrong = checked.lt(0).logical_or(checked.ge(vocabulary));
    if (wrong.any().item<bool>()) {
      const std::int64_t index = wrong.nonzero()[0].item<std::int64_t>();
      throw Error(what,
                  fmt::format("target {} at index {}", checked[index].item<std::int64_t>(), index),
                  fmt::format("0 to {}, the logits' columns", vocabulary - 1));
    }
  }
  if (!in.is_cpu()) {
    kernels::token_nll_on_cuda(in, wanted, nll);
    return nll;
  }
  const std::int64_t bytes = vocabulary * static_cast<std::int64_t>(in.element_size());
  const char* from = static_cast<const char*>(in.const_data_ptr());
  const std::int64_t* target = wanted.const_data_ptr<std::int64_t>();
  float* to = nll.mutable_data_ptr<float>();
  at::parallel_for(0, rows, grain_of(vocabulary), [&](std::int64_t begin, std::int64_t end) {
    cpu().token_nll(dtype, from + begin * bytes, target + begin, to + begin, end - begin,
                    vocabulary);
  });
  return nll;
}

at::Tensor log_sum_exp(const at::Tensor& logits) {
  const kernels::DType dtype = kernels::kernel_dtype(logits, "log_sum_exp");
  assert(logits.is_cpu() && logits.dim() == 2 && logits.size(1) > 0);
  const at::Tensor in = logits.contiguous();
  const std::int64_t rows = in.size(0), columns = in.size(1);
  at::Tensor result = at::empty({rows}, in.options().dtype(at::kDouble));
  const std::int64_t bytes = columns * static_cast<std::int64_t>(in.element_size());
  const char* from = static_cast<const char*>(in.const_data_ptr());
  double* to = result.mutable_data_ptr<double>();
  at::parallel_for(0, rows, grain_of(columns), [&](std::int64_t begin, std::int64_t end) {
    cpu().log_sum_exp(dtype, from + begin * bytes, to + begin, end - begin, columns);
  });
  return result;
}

}  // namespace harness
