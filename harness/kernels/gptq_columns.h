#pragma once

#include <cstdint>

namespace harness::kernels {

/// Columns of a GPTQ block at most (methods.md section 4).
constexpr std::int64_t kGptqColumns = 128;

/// Consecutive columns of a weight that GPTQ quantizes one after the other, in C (float or double).
/// A column of the weight is a row of these matrices, `rows` values apart.
template <class C>
struct GptqColumns {
  std::int64_t rows;     // of the weight
  std::int64_t count;    // columns that are quantized, at most `updated`
  std::int64_t updated;  // columns that take their errors, at most kGptqColumns
  C* rest;               // [updated, rows] what is left of the weight; the first `count` are read
  C* codes;              // [count, rows]
  C* errors;             // [count, rows] (w_j - q) / U_jj
  const C* upper;        // U from the first column's diagonal on
  std::int64_t upper_stride;
  const C* scales;                   // [groups, rows]
  const C* zeros;                    // as scales; null for symmetric schemes
  std::int32_t group[kGptqColumns];  // of each column that is quantized
  C lowest, highest;                 // codes
};

}  // namespace harness::kernels
