#include "harness/kernels/cpu_kernels.h"

namespace harness::kernels {

bool cpu_has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

const std::vector<const CpuKernels*>& supported_cpu_kernels() {
  static const std::vector<const CpuKernels*> supported = [] {
    std::vector<const CpuKernels*> result;
    if (cpu_has_avx512()) result.push_back(&avx512_kernels());
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c"))
      result.push_back(&avx2_kernels());
    result.push_back(&portable_kernels());
    return result;
  }();
  return supported;
}

}  // namespace harness::kernels
