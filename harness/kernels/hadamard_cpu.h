#pragma once

#include <cstdint>

#include "harness/kernels/hadamard_matrix.h"

// x H for rows of memory, single-threaded. float32 and bfloat16 (as its bits) in float32, float64
// in float64. Every vector width gives the same bits: products are with +1 and -1, and no sum is
// over lanes. Compiled as transformer_cpu.h's.

namespace harness::cpu {

/// Each row holds n vectors of `inner` consecutive values, which are mixed over n and multiplied by
/// `scale`. y may be x.
/// @param signs   [m, m] +1 and -1, in the type of the arithmetic: H_m, or its transpose; not read
///                where m is 1
/// @param scratch 2 * n * inner values
void hadamard(const float* x, float* y, std::int64_t rows, const HadamardOrder& order,
              std::int64_t inner, const float* signs, float scale, float* scratch);
void hadamard(const std::uint16_t* x, std::uint16_t* y, std::int64_t rows,
              const HadamardOrder& order, std::int64_t inner, const float* signs, float scale,
              float* scratch);
void hadamard(const double* x, double* y, std::int64_t rows, const HadamardOrder& order,
              std::int64_t inner, const double* signs, double scale, double* scratch);

}  // namespace harness::cpu
