#pragma once

#include <immintrin.h>

#include "harness/kernels/quantize_scalar.h"

namespace harness::kernels {
namespace {

/// 16 float32 lanes in two AVX2 registers. `_part` calls touch the first `count` < 16 values only.
struct Avx2 {
  struct F {
    __m256 low, high;
  };

  static HARNESS_INLINE F set(float value) {
    return {_mm256_set1_ps(value), _mm256_set1_ps(value)};
  }
  static HARNESS_INLINE F load(const float* x) {
    return {_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8)};
  }
  static HARNESS_INLINE F load(const Bf16* x) { return {half_load(x), half_load(x + 8)}; }
  static HARNESS_INLINE F load(const Half* x) { return {half_load(x), half_load(x + 8)}; }
  template <class T>
  static HARNESS_INLINE F load_part(const T* x, int count, float fill) {
    float values[kLanes];
    for (int i = 0; i < kLanes; ++i) values[i] = i < count ? to_compute(x[i]) : fill;
    return load(values);
  }
  static HARNESS_INLINE void store(float* y, F a) {
    _mm256_storeu_ps(y, a.low);
    _mm256_storeu_ps(y + 8, a.high);
  }
  static HARNESS_INLINE void store(Bf16* y, F a) {
    const __m256i packed = _mm256_packus_epi32(bf16_bits(a.low), bf16_bits(a.high));
    store_pair(y, packed);
  }
  static HARNESS_INLINE void store(Half* y, F a) {
    constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), _mm256_cvtps_ph(a.low, kMode));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + 8), _mm256_cvtps_ph(a.high, kMode));
  }
  /// Past the caches, where y is aligned to 64 bytes.
  static HARNESS_INLINE void stream(float* y, F a) {
    _mm256_stream_ps(y, a.low);
    _mm256_stream_ps(y + 8, a.high);
  }
  template <class T>
  static HARNESS_INLINE void stream(T* y, F a) {
    alignas(32) T values[kLanes];
    store(values, a);
    _mm256_stream_si256(reinterpret_cast<__m256i*>(y),
                        _mm256_load_si256(reinterpret_cast<const __m256i*>(values)));
  }
  template <class T>
  static HARNESS_INLINE void store_part(T* y, int count, F a) {
    float values[kLanes];
    store(values, a);
    for (int i = 0; i < count; ++i) y[i] = from_compute<T>(values[i]);
  }
  /// The low byte of each lane's integer: two's complement serves int8 and uint8 codes alike.
  static HARNESS_INLINE void store_codes(std::uint8_t* y, int count, F a) {
    std::int32_t codes[kLanes];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), _mm256_cvtps_epi32(a.low));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + 8), _mm256_cvtps_epi32(a.high));
    for (int i = 0; i < count; ++i) y[i] = static_cast<std::uint8_t>(codes[i]);
  }

  static HARNESS_INLINE F add(F a, F b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  static HARNESS_INLINE F sub(F a, F b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
  }
  static HARNESS_INLINE F mul(F a, F b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
  }
  static HARNESS_INLINE F div(F a, F b) {
    return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
  }
  static HARNESS_INLINE F min(F a, F b) {
    return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
  }
  static HARNESS_INLINE F max(F a, F b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
  }
  static HARNESS_INLINE F round(F a) {
    constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(a.low, kMode), _mm256_round_ps(a.high, kMode)};
  }
  /// p 2^n for integral n of -126 to 127.
  static HARNESS_INLINE F scale_by_power_of_two(F p, F n) {
    return {half_scale(p.low, n.low), half_scale(p.high, n.high)};
  }
  static HARNESS_INLINE F zero_below(F value, F d, float cutoff) {
    const __m256 c = _mm256_set1_ps(cutoff);
    return {_mm256_andnot_ps(_mm256_cmp_ps(d.low, c, _CMP_LT_OQ), value.low),
            _mm256_andnot_ps(_mm256_cmp_ps(d.high, c, _CMP_LT_OQ), value.high)};
  }
  static HARNESS_INLINE F one_where_equal(F a, F b) {
    const __m256 one = _mm256_set1_ps(1.0f);
    return {_mm256_and_ps(_mm256_cmp_ps(a.low, b.low, _CMP_EQ_OQ), one),
            _mm256_and_ps(_mm256_cmp_ps(a.high, b.high, _CMP_EQ_OQ), one)};
  }
  static HARNESS_INLINE F inverse_fifth_root_guess(F y) { return {guess(y.low), guess(y.high)}; }
  static HARNESS_INLINE float reduce_max(F a) {
    __m256 b = _mm256_max_ps(a.low, a.high);
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
  }
  static HARNESS_INLINE float reduce_min(F a) {
    __m256 b = _mm256_min_ps(a.low, a.high);
    __m128 c = _mm_min_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_min_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_min_ss(c, _mm_movehdup_ps(c)));
  }
  /// In the order of fold_lanes.
  static HARNESS_INLINE float reduce_sum(F a) {
    __m256 b = _mm256_add_ps(a.low, a.high);
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
  }

 private:
  static HARNESS_INLINE __m256 half_load(const Bf16* x) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static HARNESS_INLINE __m256 half_load(const Half* x) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
  }
  static HARNESS_INLINE __m256i bf16_bits(__m256 a) {
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    return _mm256_srli_epi32(rounded, 16);
  }
  /// packus works within 128-bit halves: the quarters come out as 0 2 1 3.
  static HARNESS_INLINE void store_pair(Bf16* y, __m256i packed) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y),
                        _mm256_permute4x64_epi64(packed, _MM_SHUFFLE(3, 1, 2, 0)));
  }
  static HARNESS_INLINE __m256 half_scale(__m256 p, __m256 n) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
  }
  static HARNESS_INLINE __m256 guess(__m256 y) {
    const __m256 bits = _mm256_cvtepi32_ps(_mm256_castps_si256(y));
    return _mm256_castsi256_ps(_mm256_cvttps_epi32(
        _mm256_sub_ps(_mm256_set1_ps(kFifthRootMagic), _mm256_mul_ps(bits, _mm256_set1_ps(0.2f)))));
  }
};

}  // namespace
}  // namespace harness::kernels
