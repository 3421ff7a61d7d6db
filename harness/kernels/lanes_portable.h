#pragma once

#include "harness/kernels/float_types.h"
#include "harness/kernels/quantize_scalar.h"

namespace harness::kernels {
namespace {

/// 16 lanes in plain C++, where there are no vector instructions.
struct Portable {
  struct F {
    float lane[kLanes];
  };
  template <class Function>
  static F each(Function&& function) {
    F result;
    for (int i = 0; i < kLanes; ++i) result.lane[i] = function(i);
    return result;
  }
  static F set(float value) {
    return each([&](int) { return value; });
  }
  template <class T>
  static F load(const T* x) {
    return each([&](int i) { return to_compute(x[i]); });
  }
  template <class T>
  static F load_part(const T* x, int count, float fill) {
    return each([&](int i) { return i < count ? to_compute(x[i]) : fill; });
  }
  template <class T>
  static void store(T* y, const F& a) {
    store_part(y, kLanes, a);
  }
  template <class T>
  static void store_part(T* y, int count, const F& a) {
    for (int i = 0; i < count; ++i) y[i] = from_compute<T>(a.lane[i]);
  }
  static F add(const F& a, const F& b) {
    return each([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static F sub(const F& a, const F& b) {
    return each([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  static F mul(const F& a, const F& b) {
    return each([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  static F div(const F& a, const F& b) {
    return each([&](int i) { return a.lane[i] / b.lane[i]; });
  }
  static F min(const F& a, const F& b) {
    return each([&](int i) { return smaller(a.lane[i], b.lane[i]); });
  }
  static F max(const F& a, const F& b) {
    return each([&](int i) { return larger(a.lane[i], b.lane[i]); });
  }
  /// To the nearest integer, ties to even.
  static F round(const F& a) {
    return each([&](int i) {
      const float magnitude = __builtin_fabsf(a.lane[i]);
      const float rounded = (magnitude + 0x1p23f) - 0x1p23f;  // from 2^23 on all are integers
      return __builtin_copysignf(magnitude < 0x1p23f ? rounded : magnitude, a.lane[i]);
    });
  }
  static F scale_by_power_of_two(const F& p, const F& n) {
    return each([&](int i) {
      const float exponent = n.lane[i] > -126.0f ? n.lane[i] : -126.0f;
      return p.lane[i] *
             float_of(static_cast<std::uint32_t>(static_cast<int>(exponent) + 127) << 23);
    });
  }
  static F zero_below(const F& value, const F& d, float cutoff) {
    return each([&](int i) { return d.lane[i] < cutoff ? 0.0f : value.lane[i]; });
  }
  static F one_where_equal(const F& a, const F& b) {
    return each([&](int i) { return a.lane[i] == b.lane[i] ? 1.0f : 0.0f; });
  }
  static float reduce_max(F a) {
    float result = a.lane[0];
    for (float value : a.lane) result = larger(value, result);
    return result;
  }
  static float reduce_min(F a) {
    float result = a.lane[0];
    for (float value : a.lane) result = smaller(value, result);
    return result;
  }
  static float reduce_sum(F a) { return fold_lanes(a.lane); }
};

}  // namespace
}  // namespace harness::kernels
