#pragma once

#include <cstdint>
#include <cstring>

// The storage types of tensors without a torch header, for the CPU and CUDA kernels alike.
//
// Everything here is forced inline: the sources built for AVX2 or AVX-512 must not leave a copy of
// a shared function behind that the linker could pick for a machine without those instructions.
#if defined(__CUDACC__)
#define HARNESS_INLINE __host__ __device__ __forceinline__
#else
#define HARNESS_INLINE inline __attribute__((always_inline))
#endif

namespace harness::kernels {

enum class DType { f32, f64, bf16, f16 };

/// bfloat16: the upper half of a float32.
struct Bf16 {
  std::uint16_t bits;
};
/// IEEE 754 binary16.
struct Half {
  std::uint16_t bits;
};

/// visit(T{}) for the type T that dtype names.
template <class Visit>
auto with_type(DType dtype, const Visit& visit) {
  switch (dtype) {
    case DType::f32:
      return visit(float{});
    case DType::f64:
      return visit(double{});
    case DType::bf16:
      return visit(Bf16{});
    case DType::f16:
      break;
  }
  return visit(Half{});
}

HARNESS_INLINE std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
HARNESS_INLINE float float_of(std::uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/// The type the arithmetic of a stored type runs in: float32, or float64 for float64.
template <class T>
struct compute_type {
  using type = float;
};
template <>
struct compute_type<double> {
  using type = double;
};
template <class T>
using Compute = typename compute_type<T>::type;

HARNESS_INLINE float to_compute(float x) { return x; }
HARNESS_INLINE double to_compute(double x) { return x; }
HARNESS_INLINE float to_compute(Bf16 x) {
  return float_of(static_cast<std::uint32_t>(x.bits) << 16);
}
HARNESS_INLINE float to_compute(Half x) {
  const std::uint32_t sign = (x.bits & 0x8000u) << 16;
  const std::uint32_t exponent = (x.bits >> 10) & 31u;
  const std::uint32_t mantissa = x.bits & 0x3ffu;
  if (exponent == 31) return float_of(sign | 0x7f800000u | mantissa << 13);
  if (exponent == 0) {  // subnormal: a multiple of 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return float_of(sign | bits_of(magnitude));
  }
  return float_of(sign | (exponent + 112u) << 23 | mantissa << 13);
}

/// Rounds half to even, as every cast of the harness does. The kernels call it with finite values
/// only.
template <class T>
T from_compute(Compute<T> x);
template <>
HARNESS_INLINE float from_compute<float>(float x) {
  return x;
}
template <>
HARNESS_INLINE double from_compute<double>(double x) {
  return x;
}
template <>
HARNESS_INLINE Bf16 from_compute<Bf16>(float x) {
  const std::uint32_t bits = bits_of(x);
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}
template <>
HARNESS_INLINE Half from_compute<Half>(float x) {
  const std::uint32_t sign = (bits_of(x) >> 16) & 0x8000u;
  std::uint32_t magnitude = bits_of(x) & 0x7fffffffu;
  if (magnitude >= 0x47800000u) {  // 65536 and more
    magnitude = 0x7c00u;
  } else if (magnitude < 0x38800000u) {
    // Below 2^-14 the result is a multiple of 2^-24: adding 0.5 lets the addition round to it.
    magnitude = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
  } else {
    magnitude = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  }
  return {static_cast<std::uint16_t>(sign | magnitude)};
}

/// from_compute for any value: what is not a number becomes the quiet NaN. (CUDA's own NaN would be
/// rounded up to a number.)
template <class T>
HARNESS_INLINE T cast_to(Compute<T> x) {
  return from_compute<T>(x);
}
template <>
HARNESS_INLINE Bf16 cast_to<Bf16>(float x) {
  return x == x ? from_compute<Bf16>(x) : Bf16{0x7fc0};
}
template <>
HARNESS_INLINE Half cast_to<Half>(float x) {
  return x == x ? from_compute<Half>(x) : Half{0x7e00};
}

/// The largest finite value of a stored type, in its compute type.
template <class T>
HARNESS_INLINE Compute<T> largest_finite();
template <>
HARNESS_INLINE float largest_finite<float>() {
  return 0x1.fffffep127f;
}
template <>
HARNESS_INLINE double largest_finite<double>() {
  return 0x1.fffffffffffffp1023;
}
template <>
HARNESS_INLINE float largest_finite<Bf16>() {
  return 0x1.fep127f;
}
template <>
HARNESS_INLINE float largest_finite<Half>() {
  return 65504.0f;
}

}  // namespace harness::kernels
