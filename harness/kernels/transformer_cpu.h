#pragma once

#include <cstdint>

// What a LLaMA block does between its matrix products, in one pass over memory each. float32 and
// bfloat16 (as its bits); arithmetic in float32. The compiler vectorises these for AVX-512, AVX2
// and plain x86-64, and the loader takes what the processor has.

namespace harness::cpu {

/// y = cast(x / sqrt(mean(x^2) + epsilon)) * weight for each row. x, y [rows, columns]; weight
/// [columns].
void rms_norm(const float* x, const float* weight, float* y, std::int64_t rows,
              std::int64_t columns, float epsilon);
void rms_norm(const std::uint16_t* x, const std::uint16_t* weight, std::uint16_t* y,
              std::int64_t rows, std::int64_t columns, float epsilon);

/// y = cast(silu(gate)) * up, n elements; y may be gate.
void swiglu(const float* gate, const float* up, float* y, std::int64_t n);
void swiglu(const std::uint16_t* gate, const std::uint16_t* up, std::uint16_t* y, std::int64_t n);

/// Rotates the pairs (i, i + half) of `heads` vectors of 2 * half elements, `stride` elements apart
/// in x and y, all by the same angles: cos, sin [half].
void rotate(const float* x, const float* cos, const float* sin, float* y, std::int64_t heads,
            std::int64_t stride, std::int64_t half);
void rotate(const std::uint16_t* x, const float* cos, const float* sin, std::uint16_t* y,
            std::int64_t heads, std::int64_t stride, std::int64_t half);

}  // namespace harness::cpu
