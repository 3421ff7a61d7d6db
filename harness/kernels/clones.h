#pragma once

#include <bit>
#include <cstdint>

// What the kernels share that the compiler vectorises by itself.

// Each clone is compiled for its processor; what it calls must be inlined to be compiled so too. A
// test names one form alone.
#ifndef HARNESS_CLONES
#define HARNESS_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
#define HARNESS_INLINE inline __attribute__((always_inline))

namespace harness::cpu {

HARNESS_INLINE float load(float x) { return x; }
HARNESS_INLINE double load(double x) { return x; }
/// bfloat16, as its bits.
HARNESS_INLINE float load(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

template <class T, class C>
HARNESS_INLINE T round_to(C x) {
  return x;
}
// Ties to even; every NaN becomes the quiet one.
template <>
HARNESS_INLINE std::uint16_t round_to<std::uint16_t, float>(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return static_cast<std::uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);
}

}  // namespace harness::cpu
