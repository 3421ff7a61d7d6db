#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness/kernels/cpu_kernels.h"

namespace harness::kernels {

namespace {

/// Whether the processor has AMX's tiles and this kind of product, and the system lets this process
/// use them (Linux: it asks for the tiles' state first).
/// @param product bit of cpuid's leaf 7, edx
bool amx_usable(unsigned product) {
  constexpr unsigned kTile = 1u << 24;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (edx & kTile) && (edx & product) &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool cpu_has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool cpu_has_avx512_bf16() { return cpu_has_avx512() && __builtin_cpu_supports("avx512bf16"); }

bool cpu_has_amx_int8() {
  static const bool usable = amx_usable(1u << 25);
  return usable;
}

bool cpu_has_amx_bf16() {
  static const bool usable = cpu_has_avx512_bf16() && amx_usable(1u << 22);
  return usable;
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
