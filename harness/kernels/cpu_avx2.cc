#include "harness/kernels/cpu_kernels.h"
#include "harness/kernels/divergence_lanes.h"
#include "harness/kernels/gptq_lanes.h"
#include "harness/kernels/gradient_lanes.h"
#include "harness/kernels/lanes_avx2.h"
#include "harness/kernels/quantize_lanes.h"
#include "harness/kernels/token_nll_lanes.h"

namespace harness::kernels {

const CpuKernels& avx2_kernels() {
  static constexpr CpuKernels kernels{"avx2",
                                      fake_quantize<Avx2>,
                                      quantize<Avx2>,
                                      straight_through_gradient<Avx2>,
                                      gptq_columns<Avx2>,
                                      token_nll<Avx2>,
                                      log_sum_exp<Avx2>,
                                      divergences<Avx2>};
  return kernels;
}

}  // namespace harness::kernels
