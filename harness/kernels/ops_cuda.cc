#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "harness/core/error.h"
#include "harness/kernels/cuda_kernels.h"
#include "harness/kernels/ops_device.h"

namespace harness::kernels {
namespace {

void check(int code, const char* kernel) {
  const cudaError_t error = static_cast<cudaError_t>(code);
  if (error != cudaSuccess)
    throw Error(fmt::format("CUDA kernel {}", kernel), cudaGetErrorString(error), "a clean launch",
                "see `harness doctor` for the devices and the build");
}

/// A device flag that kernels set where a value is not finite. Reading it waits for the stream.
class FiniteFlag {
 public:
  explicit FiniteFlag(const at::Tensor& like)
      : flag_(at::zeros({1}, like.options().dtype(at::kInt))) {}
  std::int32_t* data() { return flag_.mutable_data_ptr<std::int32_t>(); }
  bool all_finite() const { return flag_.item<std::int32_t>() == 0; }

 private:
  at::Tensor flag_;
};

cudaStream_t stream_of(const at::Tensor& tensor) {
  return c10::cuda::getCurrentCUDAStream(tensor.get_device()).stream();
}

}  // namespace

bool fake_quantize_on_cuda(const at::Tensor& x, at::Tensor& y, std::int64_t group,
                           const QuantizerParams& params) {
  const c10::cuda::CUDAGuard guard(x.device());
  FiniteFlag flag(x);
  check(cuda_fake_quantize(kernel_dtype(x, "x"), x.const_data_ptr(), y.mutable_data_ptr(),
                           x.numel() / group, group, params, flag.data(), stream_of(x)),
        "fake_quantize");
  return flag.all_finite();
}

bool quantize_on_cuda(const at::Tensor& w, at::Tensor& codes, at::Tensor& scales, at::Tensor& zeros,
                      std::int64_t group, const QuantizerParams& params) {
  const c10::cuda::CUDAGuard guard(w.device());
  FiniteFlag flag(w);
  check(
      cuda_quantize(kernel_dtype(w, "w"), w.const_data_ptr(), codes.mutable_data_ptr(),
                    scales.mutable_data_ptr(), zeros.defined() ? zeros.mutable_data_ptr() : nullptr,
                    w.numel() / group, group, params, flag.data(), stream_of(w)),
      "quantize");
  return flag.all_finite();
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

void rms_norm_on_cuda(const at::Tensor& x, const at::Tensor& weight, at::Tensor& y,
                      double epsilon) {
  const c10::cuda::CUDAGuard guard(x.device());
  check(cuda_rms_norm(kernel_dtype(x, "x"), x.const_data_ptr(), weight.const_data_ptr(),
                      y.mutable_data_ptr(), x.numel() / x.size(-1), x.size(-1), epsilon,
                      stream_of(x)),
        "rms_norm");
}

void swiglu_on_cuda(const at::Tensor& gate, const at::Tensor& up, at::Tensor& y) {
  const c10::cuda::CUDAGuard guard(gate.device());
  check(cuda_swiglu(kernel_dtype(gate, "gate"), gate.const_data_ptr(), up.const_data_ptr(),
                    y.mutable_data_ptr(), gate.numel(), stream_of(gate)),
        "swiglu");
}

void rotate_on_cuda(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                    at::Tensor& y) {
  const c10::cuda::CUDAGuard guard(x.device());
  const RotationShape shape{x.size(0),   x.size(1),   x.size(2),  cos.size(1),
                            x.stride(0), x.stride(1), x.stride(2)};
  check(cuda_rotate(kernel_dtype(x, "x"), x.const_data_ptr(), cos.const_data_ptr(),
                    sin.const_data_ptr(), y.mutable_data_ptr(), shape, stream_of(x)),
        "rotate");
}

}  // namespace harness::kernels
