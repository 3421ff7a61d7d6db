#include "harness/kernels/integer_cpu.h"

#include <algorithm>

#include "harness/kernels/clones.h"
#include "harness/kernels/cpu_kernels.h"

namespace harness::kernels {

namespace {

template <class T>
HARNESS_INLINE void scale_rows(const std::int32_t* sums, std::int64_t rows, std::int64_t outputs,
                               const SegmentScales& scales, const float* start,
                               std::int64_t start_stride, T* y, std::int64_t y_stride) {
  // Unsigned: what the terms are modulo 2^32 does not matter.
  auto word = [](std::int32_t x) { return static_cast<std::uint32_t>(x); };
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t at = row * scales.x_stride;
    const std::uint32_t zero = word(scales.x_zeros[at]), sum = word(scales.x_sums[at]);
    const float scale = scales.x_scales[at];
    float values[kPanelOutputs];
    for (std::int64_t i = 0; i < kPanelOutputs; ++i) {
      const std::uint32_t exact =
          word(sums[i]) - zero * word(scales.w_sums[i]) - word(scales.w_zeros[i]) * sum;
      const float product = static_cast<float>(static_cast<std::int32_t>(exact));
      values[i] = start[i] + scales.w_scales[i] * (scale * product);
    }
    if (outputs == kPanelOutputs)
      for (std::int64_t i = 0; i < kPanelOutputs; ++i) y[i] = from_compute<T>(values[i]);
    else
      for (std::int64_t i = 0; i < outputs; ++i) y[i] = from_compute<T>(values[i]);
    sums += kPanelOutputs;
    start += start_stride;
    y += y_stride;
  }
}

}  // namespace

HARNESS_CLONES void portable_product(const std::uint8_t* x, std::int64_t block_bytes,
                                     std::int64_t rows, const std::int8_t* panel,
                                     std::int64_t steps, std::int32_t* sums) {
  for (std::int64_t row = 0; row < rows; ++row, sums += kPanelOutputs) {
    const std::uint8_t* codes = x + row / kTileRows * block_bytes + row % kTileRows * kStepInputs;
    std::uint32_t total[kPanelOutputs] = {};  // modulo 2^32, as the instructions sum
    for (std::int64_t step = 0; step < steps; ++step, codes += kTileBytes) {
      const std::int8_t* weights = panel + step * kPanelStepBytes;
      for (std::int64_t half = 0; half < 2; ++half)
        for (std::int64_t quad = 0; quad < kStepInputs; quad += 4)
          for (std::int64_t output = 0; output < 16; ++output)
            for (std::int64_t i = 0; i < 4; ++i)
              total[half * 16 + output] += static_cast<std::uint32_t>(codes[quad + i] * *weights++);
    }
    std::copy(total, total + kPanelOutputs, sums);
  }
}

HARNESS_CLONES void lay_out_row(const std::uint8_t* codes, bool is_signed, std::int64_t segments,
                                std::int64_t segment, std::uint8_t* to, std::int32_t* sums) {
  const std::uint8_t flip = is_signed ? 0x80 : 0;  // of the sign bit: adds 128
  for (std::int64_t s = 0; s < segments; ++s) {
    std::int32_t sum = 0;
    for (std::int64_t left = segment; left > 0; left -= kStepInputs, to += kTileBytes) {
      const std::int64_t count = std::min(left, kStepInputs);
      for (std::int64_t i = 0; i < count; ++i) {
        const std::uint8_t code = codes[i] ^ flip;
        to[i] = code;
        sum += code;
      }
      std::fill(to + count, to + kStepInputs, std::uint8_t{0});
      codes += count;
    }
    sums[s] = sum;
  }
}

HARNESS_CLONES void scale_sums(const std::int32_t* sums, std::int64_t rows, std::int64_t outputs,
                               const SegmentScales& scales, const float* start,
                               std::int64_t start_stride, DType dtype, void* y,
                               std::int64_t y_stride) {
  if (dtype == DType::f32)
    scale_rows(sums, rows, outputs, scales, start, start_stride, static_cast<float*>(y), y_stride);
  else if (dtype == DType::bf16)
    scale_rows(sums, rows, outputs, scales, start, start_stride, static_cast<Bf16*>(y), y_stride);
  else
    scale_rows(sums, rows, outputs, scales, start, start_stride, static_cast<Half*>(y), y_stride);
}

const IntegerKernel& portable_integer_kernel() {
  static constexpr IntegerKernel kernel{"portable", [] {}, [] {}, portable_product};
  return kernel;
}

const std::vector<const IntegerKernel*>& supported_integer_kernels() {
  static const std::vector<const IntegerKernel*> supported = [] {
    std::vector<const IntegerKernel*> result;
    if (cpu_has_amx_int8()) result.push_back(&amx_integer_kernel());
    if (cpu_has_avx512() && __builtin_cpu_supports("avx512vnni"))
      result.push_back(&vnni_integer_kernel());
    result.push_back(&portable_integer_kernel());
    return result;
  }();
  return supported;
}

}  // namespace harness::kernels
