#include "harness/quant/gptq.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "harness/core/error.h"

namespace harness {
namespace {

constexpr std::int64_t kBlockColumns = 128;
constexpr int kDampingIncreases = 3;

/// U with U^T U = H^-1; nothing where a factor does not exist in this precision.
std::optional<at::Tensor> upper_of_inverse(const at::Tensor& hessian) {
  const auto [lower, failed] = at::linalg_cholesky_ex(hessian);
  if (failed.item<int>() != 0) return std::nullopt;
  const auto [upper, failed_again] =
      at::linalg_cholesky_ex(at::cholesky_inverse(lower), /*upper=*/true);
  if (failed_again.item<int>() != 0) return std::nullopt;
  return upper;
}

/// The scales and zero points of a weight's groups, made as they are needed, and its codes under
/// them. Held group by group and column by column, so that what belongs to a column is contiguous.
class Grids {
 public:
  Grids(const QuantSpec& spec, bool mse_clip, std::int64_t groups, std::int64_t rows,
        const at::TensorOptions& options, const std::string& what)
      : spec_(spec), mse_clip_(mse_clip), what_(what), made_(static_cast<std::size_t>(groups)) {
    spec_.group = 0;
    scales_ = at::empty({groups, rows}, options);
    if (!spec.symmetric) zeros_ = at::empty({groups, rows}, options);
    lowest_ = spec.symmetric ? -(1 << (spec.bits - 1)) : 0;
    highest_ = lowest_ + (1 << spec.bits) - 1;
  }

  bool made(std::int64_t group) const { return made_[static_cast<std::size_t>(group)]; }

  /// @param columns [rows, columns of the group]
  void make(std::int64_t group, const at::Tensor& columns) {
    const QuantizedWeight quantized = quantize_weight(columns, spec_, mse_clip_, what_);
    scales_[group].copy_(quantized.scales.select(1, 0));
    if (zeros_.defined()) zeros_[group].copy_(quantized.zeros.select(1, 0));
    made_[static_cast<std::size_t>(group)] = true;
  }

  at::Tensor codes(std::int64_t group, const at::Tensor& column) const {
    at::Tensor codes = (column / scales_[group]).round_();
    if (zeros_.defined()) codes.add_(zeros_[group]);
    return codes.clamp_(lowest_, highest_);
  }
  at::Tensor values(std::int64_t group, const at::Tensor& codes) const {
    return (zeros_.defined() ? codes - zeros_[group] : codes) * scales_[group];
  }

  /// @param codes [columns, rows]
  QuantizedWeight weight(const at::Tensor& codes, const QuantSpec& spec) const {
    return {.codes = codes.t().to(spec.symmetric ? at::kChar : at::kByte).contiguous(),
            .scales = scales_.t().contiguous(),
            .zeros = zeros_.defined() ? zeros_.t().contiguous() : at::Tensor(),
            .spec = spec};
  }

 private:
  QuantSpec spec_;
  bool mse_clip_;
  std::string what_;
  std::vector<bool> made_;
  at::Tensor scales_, zeros_;  // [groups, rows]
  int lowest_, highest_;
};

std::vector<std::int64_t> to_vector(const at::Tensor& values) {
  const at::Tensor there = values.cpu().contiguous();
  const std::int64_t* data = there.const_data_ptr<std::int64_t>();
  return {data, data + there.numel()};
}

}  // namespace

GptqFactor factor_hessian(const at::Tensor& hessian, const GptqOptions& options,
                          const std::string& what) {
  check_finite(hessian, what);
  GptqFactor factor;
  factor.dead = hessian.diagonal() == 0;
  const at::Tensor diagonal = hessian.diagonal().masked_fill(factor.dead, 1);
  factor.order = options.act_order
                     ? at::argsort(diagonal, /*stable=*/true, /*dim=*/0, /*descending=*/true)
                     : at::arange(diagonal.numel(), factor.dead.options().dtype(at::kLong));
  const at::Tensor ordered_diagonal = diagonal.index_select(0, factor.order);
  at::Tensor damped = options.act_order
                          ? hessian.index_select(0, factor.order).index_select(1, factor.order)
                          : hessian.clone();
  const double mean = diagonal.mean().item<double>();
  factor.damping = options.damping;
  for (int increases = 0;; ++increases) {
    damped.diagonal().copy_(ordered_diagonal + factor.damping * mean);
    if (std::optional<at::Tensor> upper = upper_of_inverse(damped)) {
      factor.upper = *upper;
      return factor;
    }
    if (increases == kDampingIncreases) break;
    factor.damping *= 10;
  }
  throw Error(what, fmt::format("no Cholesky factor, with damping raised to {}", factor.damping),
              "a matrix that damping makes positive definite",
              "calibrate on more or on other text, or choose a larger damping");
}

GptqResult gptq(const at::Tensor& weight, const GptqFactor& factor, const QuantSpec& spec,
                const GptqOptions& options, const std::string& what) {
  const std::int64_t rows = weight.size(0), columns = weight.size(1);
  const std::int64_t group = spec.group == 0 ? columns : spec.group;
  if (group < 0 || columns % group != 0)
    throw Error(what, fmt::format("group {} with {} features", group, columns),
                "a group that divides the features",
                "choose another group, or 0 for the whole row");
  check_finite(weight, what);
  const at::Tensor& upper = factor.upper;
  const at::Tensor original = weight.to(upper.scalar_type());
  Grids grids(spec, options.mse_clip, columns / group, rows, upper.options(), what);
  if (options.static_groups || group == columns)
    for (std::int64_t g = 0; g < columns / group; ++g)
      grids.make(g, original.narrow(1, g * group, group));

  // Columns are rows here, in the order in which they are quantized.
  const std::vector<std::int64_t> order = to_vector(factor.order);
  const at::Tensor position = at::argsort(factor.order);
  const std::vector<std::int64_t> last_position =
      to_vector(position.view({columns / group, group}).amax(1));
  at::Tensor rest =
      original.masked_fill(factor.dead, 0).index_select(1, factor.order).t().contiguous();
  at::Tensor codes = at::empty_like(rest);
  at::Tensor block_errors = at::empty({kBlockColumns, rows}, rest.options());
  double loss = 0;
  for (std::int64_t begin = 0, end; begin < columns; begin = end) {
    // Columns before `near` take every error at once, those behind it the block's at its end.
    const std::int64_t near = std::min(begin + kBlockColumns, columns);
    end = near;
    for (std::int64_t j = begin; j < end; ++j) {
      const std::int64_t g = order[static_cast<std::size_t>(j)] / group;
      if (!grids.made(g)) {
        // A group's scale wants all of its columns up to date: else the block ends here.
        if (j > begin && last_position[static_cast<std::size_t>(g)] >= near) {
          end = j;
          break;
        }
        grids.make(g, rest.index_select(0, position.narrow(0, g * group, group)).t());
      }
      const at::Tensor column = rest[j], row = upper[j];
      const at::Tensor code = grids.codes(g, column);
      codes[j].copy_(code);
      at::Tensor error = block_errors[j - begin];
      at::div_out(error, column - grids.values(g, code), row[j]);
      if (j + 1 < near) rest.slice(0, j + 1, near).addr_(row.slice(0, j + 1, near), error, 1, -1);
    }
    const at::Tensor errors = block_errors.slice(0, 0, end - begin);
    loss += errors.square().sum(at::kDouble).item<double>();
    if (near < columns)
      rest.slice(0, near).addmm_(upper.slice(0, begin, end).slice(1, near).t(), errors, 1, -1);
  }
  return {grids.weight(codes.index_select(0, position), spec), loss};
}

double squared_output(const at::Tensor& hessian, const at::Tensor& difference) {
  const at::Tensor d = difference.to(hessian.scalar_type());
  return (d.matmul(hessian) * d).sum(at::kDouble).item<double>();
}

}  // namespace harness
