// AVX-512 VNNI: an instruction adds, to each of 16 outputs, 4 inputs' products.

#include <immintrin.h>

#include <cstring>

#include "harness/kernels/integer_cpu.h"

namespace harness::kernels {
namespace {

constexpr int kOutputs = 16;  // of a register
constexpr int kRows = 8;      // whose sums are in registers at once

/// @param x of the first of `Rows` rows of one block
template <int Rows>
void some_rows(const std::uint8_t* x, const std::int8_t* panel, std::int64_t steps,
               std::int32_t* sums) {
  __m512i total[Rows][2];
  for (auto& row : total) row[0] = row[1] = _mm512_setzero_si512();
  for (std::int64_t step = 0; step < steps; ++step) {
    for (std::int64_t quad = 0; quad < kStepInputs; quad += 4) {
      const __m512i left = _mm512_loadu_si512(panel + quad * kOutputs);
      const __m512i right = _mm512_loadu_si512(panel + kTileBytes + quad * kOutputs);
      for (int row = 0; row < Rows; ++row) {
        std::int32_t codes;
        std::memcpy(&codes, x + row * kStepInputs + quad, sizeof codes);
        const __m512i inputs = _mm512_set1_epi32(codes);
        total[row][0] = _mm512_dpbusd_epi32(total[row][0], inputs, left);
        total[row][1] = _mm512_dpbusd_epi32(total[row][1], inputs, right);
      }
    }
    x += kTileBytes;
    panel += kPanelStepBytes;
  }
  for (int row = 0; row < Rows; ++row)
    for (int half = 0; half < 2; ++half)
      _mm512_storeu_si512(sums + row * kPanelOutputs + half * kOutputs, total[row][half]);
}

void product(const std::uint8_t* x, std::int64_t block_bytes, std::int64_t rows,
             const std::int8_t* panel, std::int64_t steps, std::int32_t* sums) {
  static_assert(kTileRows % kRows == 0);
  auto at = [&](std::int64_t row) {
    return x + row / kTileRows * block_bytes + row % kTileRows * kStepInputs;
  };
  std::int64_t row = 0;
  for (; row + kRows <= rows; row += kRows)
    some_rows<kRows>(at(row), panel, steps, sums + row * kPanelOutputs);
  for (; row < rows; ++row) some_rows<1>(at(row), panel, steps, sums + row * kPanelOutputs);
}

}  // namespace

const IntegerKernel& vnni_integer_kernel() {
  static constexpr IntegerKernel kernel{"AVX-512 VNNI", [] {}, [] {}, product};
  return kernel;
}

}  // namespace harness::kernels
