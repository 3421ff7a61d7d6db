#pragma once

#include <cstdint>
#include <vector>

#include "harness/kernels/float_types.h"
#include "harness/kernels/quantize_scalar.h"

namespace harness::kernels {

/// Columns of a GPTQ block at most (methods.md section 4).
constexpr std::int64_t kGptqColumns = 128;

/// Consecutive columns of a weight that GPTQ quantizes one after the other, in float32. A column of
/// the weight is a row of these matrices, `rows` values apart.
struct GptqColumns {
  std::int64_t rows;     // of the weight
  std::int64_t count;    // columns that are quantized, at most `updated`
  std::int64_t updated;  // columns that take their errors, at most kGptqColumns
  float* rest;           // [updated, rows] what is left of the weight; the first `count` are read
  float* codes;          // [count, rows]
  float* errors;         // [count, rows] (w_j - q) / U_jj
  const float* upper;    // U from the first column's diagonal on
  std::int64_t upper_stride;
  const float* const* scales;  // [count] of each column's group [rows]
  const float* const* zeros;   // as scales; null for symmetric schemes
  float lowest, highest;       // codes
};

/// One CPU implementation, on raw pointers to contiguous memory; single-threaded (the front splits
/// the groups).
struct CpuKernels {
  const char* name;

  /// Quantizes and dequantizes `groups` times `group` values, one grid a group. x and y may be the
  /// same.
  /// @return false at a group with a value that is not finite: where y is x, it stays as it was
  bool (*fake_quantize)(DType dtype, const void* x, void* y, std::int64_t groups,
                        std::int64_t group, const QuantizerParams& params);

  /// Codes (uint8 asymmetric, int8 symmetric) [groups * group], and scales and zeros [groups] in
  /// the compute type; zeros may be null for symmetric schemes.
  /// @return false when a value is not finite
  bool (*quantize)(DType dtype, const void* w, void* codes, void* scales, void* zeros,
                   std::int64_t groups, std::int64_t group, const QuantizerParams& params);

  /// d loss / d x from d loss / d (quantized x), straight through the rounding, over groups as
  /// fake_quantize has them: straight_through.h. float32 and bfloat16; x finite.
  /// @param gradient [groups * group]; result the same, none of the other two
  void (*straight_through_gradient)(DType dtype, const void* x, const void* gradient, void* result,
                                    std::int64_t groups, std::int64_t group,
                                    const QuantizerParams& params);

  /// For the weight's rows `begin` to `end`, which are independent.
  void (*gptq_columns)(const GptqColumns& columns, std::int64_t begin, std::int64_t end);

  /// log-sum-exp(row) - row[target] for each of `rows` rows of `vocabulary` logits. A row that
  /// holds a NaN or +infinity gives NaN. The exponential of the float32 arithmetic (exp.h) is
  /// within 2 ulp.
  void (*token_nll)(DType dtype, const void* logits, const std::int64_t* targets, float* nll,
                    std::int64_t rows, std::int64_t vocabulary);

  /// log-sum-exp(row) of the same rows, by the same arithmetic.
  void (*log_sum_exp)(DType dtype, const void* logits, double* result, std::int64_t rows,
                      std::int64_t vocabulary);
};

const CpuKernels& portable_kernels();
const CpuKernels& avx2_kernels();
const CpuKernels& avx512_kernels();

/// Foundation, byte and word, doubleword, vector length.
bool cpu_has_avx512();

/// Products of AMX's tiles, which the system lets this process use; bf16: and AVX-512's
/// conversions.
bool cpu_has_amx_int8();
bool cpu_has_amx_bf16();

/// Those that this machine can run, the fastest first; the last is the plain reference.
const std::vector<const CpuKernels*>& supported_cpu_kernels();

}  // namespace harness::kernels
