#pragma once

#include <cmath>
#include <cstdint>

#include "harness/kernels/exp.h"
#include "harness/kernels/float_types.h"
#include "harness/kernels/quantize_scalar.h"

// Fused log-sum-exp over rows of logits, in 16 lanes of float32 (L: portable, AVX2 or AVX-512; the
// same operations in the same order, so the same bits). In an unnamed namespace for the reason
// given in float_types.h.

namespace harness::kernels {
namespace {

/// log-sum-exp of a row is max + log(sum).
struct LogSumExp {
  double max, sum;
};

template <class L, class T>
HARNESS_INLINE float largest_of_row(const T* row, std::int64_t count) {
  using F = typename L::F;
  const float lowest = -__builtin_inff();
  F top = L::set(lowest);
  std::int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) top = L::max(top, L::load(row + j));
  if (j < count) top = L::max(top, L::load_part(row + j, static_cast<int>(count - j), lowest));
  return L::reduce_max(top);
}

/// @param keep (index of the first, how many of them, exponentials over the row's largest)
template <class L, class T, class Keep>
HARNESS_INLINE LogSumExp log_sum_exp_row(const T* row, std::int64_t vocabulary, Keep&& keep) {
  using F = typename L::F;
  // Sums of 4 x 16 vectors in float32, those in float64: the error does not grow with the
  // vocabulary.
  constexpr std::int64_t kUnroll = 4, kBlock = 16 * kUnroll * kLanes;
  const float lowest = -__builtin_inff();
  const float max = largest_of_row<L>(row, vocabulary);
  const F shift = L::set(max);

  double sum = 0;
  for (std::int64_t j = 0; j < vocabulary; j += kBlock) {
    const std::int64_t end = j + kBlock < vocabulary ? j + kBlock : vocabulary;
    F sums[kUnroll] = {L::set(0.0f), L::set(0.0f), L::set(0.0f), L::set(0.0f)};
    std::int64_t i = j;
    for (; i + kUnroll * kLanes <= end; i += kUnroll * kLanes)
      for (std::int64_t u = 0; u < kUnroll; ++u) {
        const F e = exp_nonpositive<L>(L::sub(L::load(row + i + u * kLanes), shift));
        keep(i + u * kLanes, kLanes, e);
        sums[u] = L::add(sums[u], e);
      }
    for (; i < end; i += kLanes) {
      const int left = static_cast<int>(smaller<std::int64_t>(end - i, kLanes));
      const F x = left == kLanes ? L::load(row + i) : L::load_part(row + i, left, lowest);
      const F e = exp_nonpositive<L>(L::sub(x, shift));
      keep(i, left, e);
      sums[0] = L::add(sums[0], e);
    }
    sum += static_cast<double>(
        L::reduce_sum(L::add(L::add(sums[0], sums[1]), L::add(sums[2], sums[3]))));
  }
  return {static_cast<double>(max), sum};
}

template <class L, class T>
HARNESS_INLINE LogSumExp log_sum_exp_row(const T* row, std::int64_t vocabulary) {
  return log_sum_exp_row<L>(row, vocabulary, [](std::int64_t, int, typename L::F) {});
}

/// float64 logits: float64 throughout.
template <class L>
HARNESS_INLINE LogSumExp log_sum_exp_row(const double* row, std::int64_t vocabulary) {
  double max = row[0];
  for (std::int64_t j = 1; j < vocabulary; ++j) max = larger(row[j], max);
  double sum = 0;
  for (std::int64_t j = 0; j < vocabulary; ++j) sum += exp(row[j] - max);
  return {max, sum};
}

template <class L, class T>
void token_nll_rows(const void* logits, const std::int64_t* targets, float* nll, std::int64_t rows,
                    std::int64_t vocabulary) {
  const T* row = static_cast<const T*>(logits);
  for (std::int64_t i = 0; i < rows; ++i, row += vocabulary) {
    const LogSumExp all = log_sum_exp_row<L>(row, vocabulary);
    // The difference of the two logits first: beside a large logit log(sum) would be rounded away.
    nll[i] = static_cast<float>(log(all.sum) +
                                (all.max - static_cast<double>(to_compute(row[targets[i]]))));
  }
}

template <class L, class T>
void log_sum_exp_rows(const void* logits, double* result, std::int64_t rows,
                      std::int64_t vocabulary) {
  const T* row = static_cast<const T*>(logits);
  for (std::int64_t i = 0; i < rows; ++i, row += vocabulary) {
    const LogSumExp all = log_sum_exp_row<L>(row, vocabulary);
    result[i] = log(all.sum) + all.max;
  }
}

template <class L>
void token_nll(DType dtype, const void* logits, const std::int64_t* targets, float* nll,
               std::int64_t rows, std::int64_t vocabulary) {
  with_type(dtype,
            [&]<class T>(T) { token_nll_rows<L, T>(logits, targets, nll, rows, vocabulary); });
}

template <class L>
void log_sum_exp(DType dtype, const void* logits, double* result, std::int64_t rows,
                 std::int64_t vocabulary) {
  with_type(dtype, [&]<class T>(T) { log_sum_exp_rows<L, T>(logits, result, rows, vocabulary); });
}

}  // namespace
}  // namespace harness::kernels
