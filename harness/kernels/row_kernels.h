#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "harness/kernels/row_steps.h"

// Row steps on the CPU's memory, for passes that make rows and change them part by part.

namespace harness::kernels {

/// Changes `count` rows that lie one after the other, on one thread; `to` may be `from`.
/// @return false at a row with a value that is not finite; where `to` is `from` it stays as it was
using RowKernel = std::function<bool(const void* from, void* to, std::int64_t count)>;

/// Of hadamard_transform().
/// @param rows [..., features] in float32, bfloat16 or float64: what it will be called with
RowKernel hadamard_kernel(const at::Tensor& rows, std::int64_t inner, bool transposed);
/// Of fake_quantize().
/// @param rows [..., features]
RowKernel fake_quantize_kernel(const at::Tensor& rows, const QuantSpec& spec,
                               const std::string& what);

/// Whether RowChain takes rows like x.
bool has_row_chain(const at::Tensor& x);

/// Row steps made ready; they outlive it.
class RowChain {
 public:
  /// @param rows [..., features], of which has_row_chain()
  RowChain(const RowSteps& steps, const at::Tensor& rows);
  /// All steps to `count` rows; by any thread.
  void run(const void* from, void* to, std::int64_t count);
  void run(void* rows, std::int64_t count) { run(rows, rows, count); }
  /// After all rows have been run.
  /// @throws NotFinite where a step met such a value
  void check(const at::Tensor& from, const at::Tensor& to) const;

 private:
  const RowSteps& steps_;
  std::vector<RowKernel> kernels_;
  std::atomic<const RowStep*> failed_ = nullptr;
};

/// visit(first, count) for the parts of rows `begin` to `end` that a near cache holds.
template <class Visit>
void for_near_rows(std::int64_t begin, std::int64_t end, std::int64_t features,
                   const Visit& visit) {
  constexpr std::int64_t kNear = 16384;  // values
  const std::int64_t step = std::max<std::int64_t>(1, kNear / features);
  for (; begin < end; begin += step) visit(begin, std::min(step, end - begin));
}

}  // namespace harness::kernels
