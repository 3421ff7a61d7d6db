#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "harness/core/error.h"
#include "harness/kernels/cuda_kernels.h"
#include "harness/kernels/ops.h"
#include "harness/kernels/ops_device.h"

namespace harness::kernels {
namespace {

void check(int code, const char* kernel) {
  const cudaError_t error = static_cast<cudaError_t>(code);
  if (error != cudaSuccess)
    throw Error(fmt::format("CUDA kernel {}", kernel), cudaGetErrorString(error), "a clean launch",
                "see `harness doctor` for the devices and the build");
}

/// What quantizers have met on a device since the last check: a flag a call, which its kernel sets
/// where a value is not finite, and the tensor's name.
class FiniteFlags {
 public:
  static FiniteFlags& of(at::Device device) {
    static std::mutex mutex;
    static std::map<at::DeviceIndex, FiniteFlags> all;
    const std::lock_guard lock(mutex);
    return all.try_emplace(device.index(), device).first->second;
  }
  explicit FiniteFlags(at::Device device) {
    const c10::InferenceMode outside(false);  // else nobody outside of it could write to them
    flags_ = at::zeros({kCalls}, at::TensorOptions(at::kInt).device(device));
  }

  /// The next call's flag. Reads the flags where all are taken.
  std::int32_t* take(const std::string& what) {
    if (static_cast<std::int64_t>(names_.size()) == kCalls) check();
    names_.push_back(what);
    return flags_.mutable_data_ptr<std::int32_t>() + names_.size() - 1;
  }
  void check() {
    const std::vector<std::string> names = std::exchange(names_, {});
    if (names.empty()) return;
    const at::Tensor flags = flags_.slice(0, 0, static_cast<std::int64_t>(names.size()));
    const at::Tensor set = flags.cpu();
    flags.zero_();
    for (std::size_t i = 0; i < names.size(); ++i)
      if (set.const_data_ptr<std::int32_t>()[i] != 0)
        throw NotFinite(names[i], "NaN or infinity", "finite values",
                        "look for an overflow before this tensor, or run in bf16 or fp32");
  }

 private:
  static constexpr std::int64_t kCalls = 4096;
  at::Tensor flags_;
  std::vector<std::string> names_;
};

/// Row steps as kernels take them.
class StepsOnCuda {
 public:
  /// @param then of which has_row_steps_on_cuda()
  StepsOnCuda(const at::Tensor& y, const RowSteps& then) {
    for (const RowStep& step : then) {
      if (const auto* hadamard = std::get_if<HadamardRows>(&step)) {
        const at::ScalarType compute = y.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
        arguments_.hadamard = true;
        arguments_.inner = hadamard->inner;
        arguments_.order = hadamard_order(y.size(-1) / hadamard->inner);
        signs_ = hadamard_signs(arguments_.order.m, false, y.options().dtype(compute));
        arguments_.signs = signs_.const_data_ptr();
      } else {
        const auto& quantize = std::get<QuantizeRows>(step);
        arguments_.quantize = true;
        arguments_.params =
            params_of(quantize.spec, Scheme::symmetric_activation, false, quantize.what);
        arguments_.group = group_of(y, quantize.spec, quantize.what);
        arguments_.not_finite = FiniteFlags::of(y.device()).take(quantize.what);
      }
    }
  }
  const CudaRowSteps& arguments() const { return arguments_; }

 private:
  CudaRowSteps arguments_;
  at::Tensor signs_;
};

cudaStream_t stream_of(const at::Tensor& tensor) {
  return c10::cuda::getCurrentCUDAStream(tensor.get_device()).stream();
}

}  // namespace

void fake_quantize_on_cuda(const at::Tensor& x, at::Tensor& y, std::int64_t group,
                           const QuantizerParams& params, const std::string& what) {
  const c10::cuda::CUDAGuard guard(x.device());
  std::int32_t* not_finite = FiniteFlags::of(x.device()).take(what);
  check(cuda_fake_quantize(kernel_dtype(x, "x"), x.const_data_ptr(), y.mutable_data_ptr(),
                           x.numel() / group, group, params, not_finite, stream_of(x)),
        "fake_quantize");
}

void check_quantized_on_cuda(at::Device device) {
  const c10::cuda::CUDAGuard guard(device);
  FiniteFlags::of(device).check();
}

void quantize_on_cuda(const at::Tensor& w, at::Tensor& codes, at::Tensor& scales, at::Tensor& zeros,
                      std::int64_t group, const QuantizerParams& params, const std::string& what) {
  const c10::cuda::CUDAGuard guard(w.device());
  std::int32_t* not_finite = FiniteFlags::of(w.device()).take(what);
  check(
      cuda_quantize(kernel_dtype(w, "w"), w.const_data_ptr(), codes.mutable_data_ptr(),
                    scales.mutable_data_ptr(), zeros.defined() ? zeros.mutable_data_ptr() : nullptr,
                    w.numel() / group, group, params, not_finite, stream_of(w)),
      "quantize");
}

void straight_through_gradient_on_cuda(const at::Tensor& x, const at::Tensor& gradient,
                                       at::Tensor& result, std::int64_t group,
                                       const QuantizerParams& params) {
  const c10::cuda::CUDAGuard guard(x.device());
  check(cuda_straight_through_gradient(kernel_dtype(x, "x"), x.const_data_ptr(),
                                       gradient.const_data_ptr(), result.mutable_data_ptr(),
                                       x.numel() / group, group, params, stream_of(x)),
        "straight_through_gradient");
}

void token_nll_on_cuda(const at::Tensor& logits, const at::Tensor& targets, at::Tensor& nll) {
  const c10::cuda::CUDAGuard guard(logits.device());
  check(cuda_token_nll(kernel_dtype(logits, "logits"), logits.const_data_ptr(),
                       targets.const_data_ptr<std::int64_t>(), nll.mutable_data_ptr<float>(),
                       logits.size(0), logits.size(1), stream_of(logits)),
        "token_nll");
}

void divergences_on_cuda(const at::Tensor& logits, const Divergences& divergences,
                         at::Tensor& gradient, at::Tensor& values) {
  const c10::cuda::CUDAGuard guard(logits.device());
  check(cuda_divergences(kernel_dtype(logits, "logits"), logits.const_data_ptr(), divergences,
                         gradient.mutable_data_ptr(), values.mutable_data_ptr<double>(),
                         logits.size(0), stream_of(logits)),
        "divergences");
}

namespace {

template <class C>
void launch_gptq_columns(const GptqColumns<C>& columns, at::Device device) {
  const c10::cuda::CUDAGuard guard(device);
  check(cuda_gptq_columns(columns, c10::cuda::getCurrentCUDAStream(device.index()).stream()),
        "gptq_columns");
}

}  // namespace

void gptq_columns_on_cuda(const GptqColumns<float>& columns, at::Device device) {
  launch_gptq_columns(columns, device);
}
void gptq_columns_on_cuda(const GptqColumns<double>& columns, at::Device device) {
  launch_gptq_columns(columns, device);
}

bool hadamard_on_cuda(const at::Tensor& x, at::Tensor& y, const HadamardOrder& order,
                      std::int64_t inner, const at::Tensor& signs) {
  const c10::cuda::CUDAGuard guard(x.device());
  const DType dtype = kernel_dtype(x, "x");
  if (!cuda_hadamard_fits(dtype, order, inner)) return false;
  check(cuda_hadamard(dtype, x.const_data_ptr(), y.mutable_data_ptr(), x.numel(), order, inner,
                      signs.const_data_ptr(), stream_of(x)),
        "hadamard");
  return true;
}

bool has_row_steps_on_cuda(const at::Tensor& y, const RowSteps& then) {
  const auto* hadamard = then.empty() ? nullptr : std::get_if<HadamardRows>(&then.front());
  const bool quantize = !then.empty() && std::holds_alternative<QuantizeRows>(then.back());
  if (then.size() != (hadamard ? 1u : 0u) + (quantize ? 1u : 0u)) return false;
  const c10::cuda::CUDAGuard guard(y.device());
  return !hadamard ||
         cuda_hadamard_fits(kernel_dtype(y, "y"), hadamard_order(y.size(-1) / hadamard->inner),
                            hadamard->inner);
}

void rms_norm_on_cuda(const at::Tensor& x, const at::Tensor& weight, at::Tensor& y, double epsilon,
                      const RowSteps& then) {
  const c10::cuda::CUDAGuard guard(x.device());
  const StepsOnCuda steps(y, then);
  check(cuda_rms_norm(kernel_dtype(x, "x"), x.const_data_ptr(), weight.const_data_ptr(),
                      y.mutable_data_ptr(), x.numel() / x.size(-1), x.size(-1), epsilon,
                      steps.arguments(), stream_of(x)),
        "rms_norm");
}

void swiglu_on_cuda(const at::Tensor& gate, const at::Tensor& up, at::Tensor& y,
                    const RowSteps& then) {
  const c10::cuda::CUDAGuard guard(gate.device());
  const StepsOnCuda steps(y, then);
  check(cuda_swiglu(kernel_dtype(gate, "gate"), gate.const_data_ptr(), up.const_data_ptr(),
                    y.mutable_data_ptr(), gate.numel() / gate.size(-1), gate.size(-1),
                    steps.arguments(), stream_of(gate)),
        "swiglu");
}

void rotate_on_cuda(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                    at::Tensor& y, const RowSteps& then) {
  const c10::cuda::CUDAGuard guard(x.device());
  const StepsOnCuda steps(y, then);
  check(cuda_rotate(kernel_dtype(x, "x"), x.const_data_ptr(), cos.const_data_ptr(),
                    sin.const_data_ptr(), y.mutable_data_ptr(), x.size(0), x.size(1), x.size(2),
                    cos.size(1), steps.arguments(), stream_of(x)),
        "rotate");
}

void change_rows_on_cuda(const at::Tensor& x, at::Tensor& y, const RowSteps& then) {
  const c10::cuda::CUDAGuard guard(x.device());
  const StepsOnCuda steps(y, then);
  check(cuda_change_rows(kernel_dtype(x, "x"), x.const_data_ptr(), y.mutable_data_ptr(),
                         x.numel() / x.size(-1), x.size(-1), steps.arguments(), stream_of(x)),
        "change_rows");
}

}  // namespace harness::kernels
