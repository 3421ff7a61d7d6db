#include "harness/kernels/cpu_kernels.h"
#include "harness/kernels/divergence_lanes.h"
#include "harness/kernels/gptq_lanes.h"
#include "harness/kernels/gradient_lanes.h"
#include "harness/kernels/lanes_avx512.h"
#include "harness/kernels/quantize_lanes.h"
#include "harness/kernels/token_nll_lanes.h"

namespace harness::kernels {

const CpuKernels& avx512_kernels() {
  static constexpr CpuKernels kernels{"avx512",
                                      fake_quantize<Avx512>,
                                      quantize<Avx512>,
                                      straight_through_gradient<Avx512>,
                                      gptq_columns<Avx512>,
                                      token_nll<Avx512>,
                                      log_sum_exp<Avx512>,
                                      divergences<Avx512>};
  return kernels;
}

}  // namespace harness::kernels
