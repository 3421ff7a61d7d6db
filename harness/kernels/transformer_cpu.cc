#include "harness/kernels/transformer_cpu.h"

#include <bit>
#include <cmath>

#include "harness/kernels/clones.h"

namespace harness::cpu {

namespace {

constexpr int kLanes = 16;

// e^x to 2 ulp, for x in [-87, 88]; beyond them the value there. Range reduction and coefficients
// as in Cephes' expf.
HARNESS_INLINE float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  constexpr float kRound =
      12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const float shifted = x * 1.44269504088896341f + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const std::uint32_t exponent = std::bit_cast<std::uint32_t>(shifted) - 0x4b400000u + 127u;
  return p * std::bit_cast<float>(exponent << 23);
}

template <class T>
HARNESS_INLINE void rms_norm_rows(const T* x, const T* weight, T* y, std::int64_t rows,
                                  std::int64_t columns, float epsilon) {
  for (std::int64_t row = 0; row < rows; ++row, x += columns, y += columns) {
    float squares[kLanes] = {};
    std::int64_t i = 0;
    for (; i + kLanes <= columns; i += kLanes)
      for (int lane = 0; lane < kLanes; ++lane) {
        const float value = load(x[i + lane]);
        squares[lane] += value * value;
      }
    float sum = 0;
    for (; i < columns; ++i) sum += load(x[i]) * load(x[i]);
    for (int lane = 0; lane < kLanes; ++lane) sum += squares[lane];
    const float scale = 1.0f / std::sqrt(sum / static_cast<float>(columns) + epsilon);
    for (i = 0; i < columns; ++i)
      y[i] = round_to<T>(load(round_to<T>(load(x[i]) * scale)) * load(weight[i]));
  }
}

template <class T>
HARNESS_INLINE void swiglu_all(const T* gate, const T* up, T* y, std::int64_t n) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) {
    const float g = load(gate[i]);
    const float silu = g / (1.0f + exponential(-g));
    y[i] = round_to<T>(load(round_to<T>(silu)) * load(up[i]));
  }
}

template <class T>
HARNESS_INLINE void rotate_heads(const T* __restrict x, const float* __restrict cos,
                                 const float* __restrict sin, T* __restrict y, std::int64_t heads,
                                 std::int64_t stride, std::int64_t half) {
  for (std::int64_t head = 0; head < heads; ++head, x += stride, y += stride)
    for (std::int64_t i = 0; i < half; ++i) {
      const float first = load(x[i]), second = load(x[i + half]);
      y[i] = round_to<T>(first * cos[i] - second * sin[i]);
      y[i + half] = round_to<T>(second * cos[i] + first * sin[i]);
    }
}

}  // namespace

HARNESS_CLONES void rms_norm(const float* x, const float* weight, float* y, std::int64_t rows,
                             std::int64_t columns, float epsilon) {
  rms_norm_rows(x, weight, y, rows, columns, epsilon);
}
HARNESS_CLONES void rms_norm(const std::uint16_t* x, const std::uint16_t* weight, std::uint16_t* y,
                             std::int64_t rows, std::int64_t columns, float epsilon) {
  rms_norm_rows(x, weight, y, rows, columns, epsilon);
}

HARNESS_CLONES void swiglu(const float* gate, const float* up, float* y, std::int64_t n) {
  swiglu_all(gate, up, y, n);
}
HARNESS_CLONES void swiglu(const std::uint16_t* gate, const std::uint16_t* up, std::uint16_t* y,
                           std::int64_t n) {
  swiglu_all(gate, up, y, n);
}

HARNESS_CLONES void rotate(const float* x, const float* cos, const float* sin, float* y,
                           std::int64_t heads, std::int64_t stride, std::int64_t half) {
  rotate_heads(x, cos, sin, y, heads, stride, half);
}
HARNESS_CLONES void rotate(const std::uint16_t* x, const float* cos, const float* sin,
                           std::uint16_t* y, std::int64_t heads, std::int64_t stride,
                           std::int64_t half) {
  rotate_heads(x, cos, sin, y, heads, stride, half);
}

}  // namespace harness::cpu
