#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "harness/core/config.h"
#include "harness/core/format.h"
#include "harness/kernels/ops.h"

// GPTQ (arXiv 2210.17323) for one Linear: methods.md section 4. All arithmetic is in the Hessian's
// floating type: float32 in use, float64 where codes are compared with the formula. On the CPU and
// on CUDA alike a block's columns are one kernel, whatever the format, and what they do to the
// columns behind the block is a matrix product.

namespace harness {

struct GptqOptions {
  bool mse_clip = true;
  double damping = 0.01;
  bool act_order = false;
  bool static_groups = false;

  template <class Visitor>
  void visit(Visitor&& v) {
    v("mse_clip", mse_clip,
      Field{.doc = "search 80 clip ratios a row or group for the least sum of |error|^2.4"});
    v("damping", damping,
      Field{.doc =
                "share of the Hessian's mean diagonal that is added to the diagonal; tenfold, up "
                "to three times, where the Hessian has no Cholesky factor",
            .min = 1e-9,
            .max = 1e12});
    v("act_order", act_order,
      Field{.doc = "columns by descending diagonal of the Hessian, not from left to right"});
    v("static_groups", static_groups,
      Field{.doc = "scales of groups from the original weight, not from the columns as they are "
                   "when the first of the group is reached"});
  }
};

/// What the Linears that read one input share.
struct GptqFactor {
  at::Tensor order;  // int64 [in]: the column that is quantized j-th
  at::Tensor upper;  // [in, in]: U^T U = (H + damping)^-1, rows and columns in that order
  at::Tensor dead;   // bool [in]: features that are always 0, by column
  double damping;    // share of the mean diagonal that the factor needed
};

/// @param hessian [in, in], float32 or float64: (2 / n) sum x x^T over the inputs of n sequences
/// @param what    its name for messages
/// @throws Error on NaN or infinity, and where three tenfold increases of the damping do not give a
/// factor
GptqFactor factor_hessian(const at::Tensor& hessian, const GptqOptions& options,
                          const std::string& what);

struct GptqResult {
  QuantizedWeight weight;
  double loss;  // sum of (w_j - q_j)^2 / [H_F^-1]_jj, the paper's: squared error of the output
                // under the damped H, in the units of H
};

/// The quantizer is quantize_weight()'s to the bit. A group is always spec.group consecutive
/// inputs, with act_order too; its scale then comes from what its columns are when the first of
/// them in that order is reached. On CUDA nothing waits for the device between the first column and
/// the last.
/// @param weight [out, in]
/// @param what   its name for messages
/// @throws Error as quantize_weight()
GptqResult gptq(const at::Tensor& weight, const GptqFactor& factor, const QuantSpec& spec,
                const GptqOptions& options, const std::string& what);

/// trace(D H D^T): what a change D [out, in] of the weight does to the output, squared and summed,
/// in the units of H.
double squared_output(const at::Tensor& hessian, const at::Tensor& difference);

}  // namespace harness
