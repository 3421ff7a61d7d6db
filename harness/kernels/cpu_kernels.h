#pragma once

#include <cstdint>
#include <vector>

#include "harness/kernels/float_types.h"
#include "harness/kernels/quantize_scalar.h"

namespace harness::kernels {

/// One CPU implementation, on raw pointers to contiguous memory; single-threaded (the front splits
/// the groups).
struct CpuKernels {
  const char* name;

  /// Quantizes and dequantizes `groups` times `group` values, one grid a group. x and y may be the
  /// same.
  /// @return false when a value is not finite; y is then unspecified
  bool (*fake_quantize)(DType dtype, const void* x, void* y, std::int64_t groups,
                        std::int64_t group, const QuantizerParams& params);

  /// Codes (uint8 asymmetric, int8 symmetric) [groups * group], and scales and zeros [groups] in
  /// the compute type; zeros may be null for symmetric schemes.
  /// @return false when a value is not finite
  bool (*quantize)(DType dtype, const void* w, void* codes, void* scales, void* zeros,
                   std::int64_t groups, std::int64_t group, const QuantizerParams& params);

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

/// Those that this machine can run, the fastest first; the last is the plain reference.
const std::vector<const CpuKernels*>& supported_cpu_kernels();

}  // namespace harness::kernels
