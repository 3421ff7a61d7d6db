#pragma once

#include <cstdint>
#include <vector>

#include "harness/kernels/float_types.h"

// Products of 8-bit integers with sums in int32, on raw pointers; single-threaded. Both factors lie
// in tiles of 1 KB, as AMX and VNNI want them:
//   x  uint8 [blocks of 16 rows, steps, 16 rows, 64 inputs]
//   w  int8  [panels of 32 outputs, steps, 2, 16, 16 outputs, 4 inputs]
// A step is 64 inputs. Inputs that share their scales, a segment, begin with a step; behind a
// segment's end w is 0. The sums are exact (modulo 2^32), so that all implementations agree.

namespace harness::kernels {

constexpr std::int64_t kTileRows = 16, kStepInputs = 64, kTileBytes = kTileRows * kStepInputs;
constexpr std::int64_t kPanelOutputs = 32, kPanelStepBytes = kPanelOutputs * kStepInputs;
constexpr std::int64_t kProductRows = 2 * kTileRows;

/// One implementation of the product.
struct IntegerKernel {
  const char* name;
  /// A thread calls begin() before its products and end() after them.
  void (*begin)();
  void (*end)();
  /// sums [32, 32]: of 1 to 32 rows of x with a panel of w over `steps` steps; other rows are
  /// unspecified.
  /// @param block_bytes from one block of rows to the next
  void (*product)(const std::uint8_t* x, std::int64_t block_bytes, std::int64_t rows,
                  const std::int8_t* panel, std::int64_t steps, std::int32_t* sums);
};

const IntegerKernel& portable_integer_kernel();
const IntegerKernel& vnni_integer_kernel();
const IntegerKernel& amx_integer_kernel();

/// Those that this machine can run, the fastest first; the last is the plain reference.
const std::vector<const IntegerKernel*>& supported_integer_kernels();

/// Lays a row of codes out in its tiles.
/// @param is_signed the codes are int8: 128 is added to each
/// @param to        the row's place in its block's first tile
/// @param sums      [segments]: of the codes as they are laid out
void lay_out_row(const std::uint8_t* codes, bool is_signed, std::int64_t segments,
                 std::int64_t segment, std::uint8_t* to, std::int32_t* sums);

/// What turns the integer sums of a segment into values.
struct SegmentScales {
  // Of row r at [r * x_stride].
  const float* x_scales;
  const std::int32_t *x_zeros, *x_sums;
  std::int64_t x_stride;
  // Of 32 outputs. w_sums: of code - zero over the segment.
  const float* w_scales;
  const std::int32_t *w_zeros, *w_sums;
};

/// y = cast(start + w_scale (x_scale (sum - x_zero w_sum - w_zero x_sum))), in float32, for
/// [rows, outputs]; what stands in the inner brackets is exact where it fits int32.
/// @param sums    [rows, 32]
/// @param outputs 1 to 32, that are written
/// @param start   [rows, 32], start_stride values from row to row
/// @param dtype   of y: f32, bf16 or f16
void scale_sums(const std::int32_t* sums, std::int64_t rows, std::int64_t outputs,
                const SegmentScales& scales, const float* start, std::int64_t start_stride,
                DType dtype, void* y, std::int64_t y_stride);

}  // namespace harness::kernels
