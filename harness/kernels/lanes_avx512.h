#pragma once

#include <immintrin.h>

#include "harness/kernels/quantize_scalar.h"

namespace harness::kernels {
namespace {

/// 16 float32 lanes in one AVX-512 register. `_part` calls touch the first `count` < 16 values
/// only.
struct Avx512 {
  using F = __m512;

  static HARNESS_INLINE __mmask16 first(int count) {
    return static_cast<__mmask16>((1u << count) - 1u);
  }
  static HARNESS_INLINE F set(float value) { return _mm512_set1_ps(value); }

  static HARNESS_INLINE F load(const float* x) { return _mm512_loadu_ps(x); }
  static HARNESS_INLINE F load(const Bf16* x) {
    return from_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
  }
  static HARNESS_INLINE F load(const Half* x) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
  }
  static HARNESS_INLINE F load_part(const float* x, int count, float fill) {
    return _mm512_mask_loadu_ps(set(fill), first(count), x);
  }
  static HARNESS_INLINE F load_part(const Bf16* x, int count, float fill) {
    return _mm512_mask_mov_ps(set(fill), first(count),
                              from_bf16(_mm256_maskz_loadu_epi16(first(count), x)));
  }
  static HARNESS_INLINE F load_part(const Half* x, int count, float fill) {
    return _mm512_mask_mov_ps(set(fill), first(count),
                              _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(count), x)));
  }
  static HARNESS_INLINE void store(float* y, F a) { _mm512_storeu_ps(y, a); }
  static HARNESS_INLINE void store(Bf16* y, F a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y), to_bf16(a));
  }
  static HARNESS_INLINE void store(Half* y, F a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y),
                        _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  /// Past the caches, where y is aligned to 64 bytes.
  static HARNESS_INLINE void stream(float* y, F a) { _mm512_stream_ps(y, a); }
  template <class T>
  static HARNESS_INLINE void stream(T* y, F a) {
    alignas(32) T values[kLanes];
    store(values, a);
    _mm256_stream_si256(reinterpret_cast<__m256i*>(y),
                        _mm256_load_si256(reinterpret_cast<const __m256i*>(values)));
  }
  static HARNESS_INLINE void store_part(float* y, int count, F a) {
    _mm512_mask_storeu_ps(y, first(count), a);
  }
  static HARNESS_INLINE void store_part(Bf16* y, int count, F a) {
    _mm256_mask_storeu_epi16(y, first(count), to_bf16(a));
  }
  static HARNESS_INLINE void store_part(Half* y, int count, F a) {
    _mm256_mask_storeu_epi16(y, first(count),
                             _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  /// The low byte of each lane's integer: two's complement serves int8 and uint8 codes alike.
  static HARNESS_INLINE void store_codes(std::uint8_t* y, int count, F a) {
    const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a));
    _mm_mask_storeu_epi8(y, first(count), bytes);
  }

  static HARNESS_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
  static HARNESS_INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static HARNESS_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static HARNESS_INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
  static HARNESS_INLINE F min(F a, F b) { return _mm512_min_ps(a, b); }
  static HARNESS_INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }
  static HARNESS_INLINE F round(F a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  /// p 2^n for integral n of -126 to 127.
  static HARNESS_INLINE F scale_by_power_of_two(F p, F n) {
    const __m512i exponent = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), exponent));
  }
  static HARNESS_INLINE F zero_below(F value, F d, float cutoff) {
    return _mm512_mask_mov_ps(value, _mm512_cmp_ps_mask(d, set(cutoff), _CMP_LT_OQ),
                              _mm512_setzero_ps());
  }
  static HARNESS_INLINE F one_where_equal(F a, F b) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), set(1.0f));
  }
  static HARNESS_INLINE F inverse_fifth_root_guess(F y) {
    const F bits = _mm512_cvtepi32_ps(_mm512_castps_si512(y));
    return _mm512_castsi512_ps(
        _mm512_cvttps_epi32(sub(set(kFifthRootMagic), mul(bits, set(0.2f)))));
  }
  static HARNESS_INLINE float reduce_max(F a) {
    __m256 b = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
  }
  static HARNESS_INLINE float reduce_min(F a) {
    __m256 b = _mm256_min_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 c = _mm_min_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_min_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_min_ss(c, _mm_movehdup_ps(c)));
  }
  /// In the order of fold_lanes.
  static HARNESS_INLINE float reduce_sum(F a) {
    __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
  }

 private:
  static HARNESS_INLINE F from_bf16(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static HARNESS_INLINE __m256i to_bf16(F a) {
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
  }
};

}  // namespace
}  // namespace harness::kernels
