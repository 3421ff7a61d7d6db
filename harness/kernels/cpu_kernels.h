#pragma once

#include <cstdint>
#include <vector>

#include "harness/kernels/divergence_scalar.h"
#include "harness/kernels/float_types.h"
#include "harness/kernels/gptq_columns.h"
#include "harness/kernels/quantize_scalar.h"

namespace harness::kernels {

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
  void (*gptq_columns)(const GptqColumns<float>& columns, std::int64_t begin, std::int64_t end);

  /// log-sum-exp(row) - row[target] for each of `rows` rows of `vocabulary` logits. A row that
  /// holds a NaN or +infinity gives NaN. The exponential of the float32 arithmetic (exp.h) is
  /// within 2 ulp.
  void (*token_nll)(DType dtype, const void* logits, const std::int64_t* targets, float* nll,
                    std::int64_t rows, std::int64_t vocabulary);

  /// log-sum-exp(row) of the same rows, by the same arithmetic.
  void (*log_sum_exp)(DType dtype, const void* logits, double* result, std::int64_t rows,
                      std::int64_t vocabulary);

  /// The gradient by the logits of all terms together, each with its weight, and their values
  /// without it, of the rows `begin` to `end`. float32, bfloat16 and float16, with the exponential
  /// of token_nll.
  /// @param logits, gradient [rows, vocabulary]
  /// @param values           [rows, terms]
  /// @param memory           divergence_memory() values: all 0 at first, else as a call left them
  void (*divergences)(DType dtype, const void* logits, const Divergences& divergences,
                      void* gradient, double* values, std::int64_t begin, std::int64_t end,
                      float* memory);
};

const CpuKernels& portable_kernels();
const CpuKernels& avx2_kernels();
const CpuKernels& avx512_kernels();

/// Foundation, byte and word, doubleword, vector length.
bool cpu_has_avx512();
/// And products of pairs in bfloat16.
bool cpu_has_avx512_bf16();

/// Products of AMX's tiles, which the system lets this process use; bf16: and all of AVX-512 in
/// bfloat16.
bool cpu_has_amx_int8();
bool cpu_has_amx_bf16();

/// Those that this machine can run, the fastest first; the last is the plain reference.
const std::vector<const CpuKernels*>& supported_cpu_kernels();

}  // namespace harness::kernels
