#include "harness/core/error.h"
#include "harness/kernels/ops_device.h"

namespace harness::kernels {
namespace {

[[noreturn]] void no_cuda() {
  throw Error("quantization kernels", "a tensor on a CUDA device",
              "a CPU tensor: this build has no CUDA kernels",
              "configure with -DHARNESS_CUDA=ON and build again");
}

}  // namespace

void fake_quantize_on_cuda(const at::Tensor&, at::Tensor&, std::int64_t, const QuantizerParams&,
                           const std::string&) {
  no_cuda();
}
void check_quantized_on_cuda(at::Device) { no_cuda(); }
void quantize_on_cuda(const at::Tensor&, at::Tensor&, at::Tensor&, at::Tensor&, std::int64_t,
                      const QuantizerParams&, const std::string&) {
  no_cuda();
}
void straight_through_gradient_on_cuda(const at::Tensor&, const at::Tensor&, at::Tensor&,
                                       std::int64_t, const QuantizerParams&) {
  no_cuda();
}
void token_nll_on_cuda(const at::Tensor&, const at::Tensor&, at::Tensor&) { no_cuda(); }
void divergences_on_cuda(const at::Tensor&, const Divergences&, at::Tensor&, at::Tensor&) {
  no_cuda();
}
void gptq_columns_on_cuda(const GptqColumns<float>&, at::Device) { no_cuda(); }
void gptq_columns_on_cuda(const GptqColumns<double>&, at::Device) { no_cuda(); }

bool hadamard_on_cuda(const at::Tensor&, at::Tensor&, const HadamardOrder&, std::int64_t,
                      const at::Tensor&) {
  no_cuda();
}
bool has_row_steps_on_cuda(const at::Tensor&, const RowSteps&) { no_cuda(); }
void rms_norm_on_cuda(const at::Tensor&, const at::Tensor&, at::Tensor&, double, const RowSteps&) {
  no_cuda();
}
void swiglu_on_cuda(const at::Tensor&, const at::Tensor&, at::Tensor&, const RowSteps&) {
  no_cuda();
}
void rotate_on_cuda(const at::Tensor&, const at::Tensor&, const at::Tensor&, at::Tensor&,
                    const RowSteps&) {
  no_cuda();
}
void change_rows_on_cuda(const at::Tensor&, at::Tensor&, const RowSteps&) { no_cuda(); }

}  // namespace harness::kernels
