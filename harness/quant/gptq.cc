#include "harness/quant/gptq.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "harness/core/error.h"
#include "harness/kernels/cpu_kernels.h"
#include "harness/kernels/gptq_block.h"
#include "harness/kernels/ops_device.h"

namespace harness {
namespace {

constexpr std::int64_t kBlockColumns = kernels::kGptqColumns;
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

  /// [groups, rows]; null zeros where symmetric.
  template <class C>
  const C* scales() const {
    return scales_.const_data_ptr<C>();
  }
  template <class C>
  const C* zeros() const {
    return zeros_.defined() ? zeros_.const_data_ptr<C>() : nullptr;
  }
  int lowest() const { return lowest_; }
  int highest() const { return highest_; }

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

/// The weight in work. Columns are rows here, in the order in which they are quantized.
struct Work {
  const Grids& grids;
  std::vector<std::int64_t> groups;  // of each column
  at::Tensor upper;                  // [columns, columns]
  at::Tensor rest = {}, codes = {};  // [columns, rows]
};

/// Runs single-threaded on the CPU, for the weight's rows `first` to `last`.
void on_cpu(const kernels::GptqColumns<float>& part, std::int64_t first, std::int64_t last) {
  kernels::supported_cpu_kernels().front()->gptq_columns(part, first, last);
}
void on_cpu(const kernels::GptqColumns<double>& part, std::int64_t first, std::int64_t last) {
  double errors[kBlockColumns];
  for (std::int64_t row = first; row < last; ++row)
    kernels::gptq_of_rows(kernels::OneThread(), part, row, errors);
}

/// Quantizes the columns `begin` to `end` one after the other; those up to `near` take their
/// errors. C is the type of the arithmetic.
/// @param errors [end - begin, rows]: (w_j - q) / U_jj
template <class C>
void quantize_columns_as(const Work& work, std::int64_t begin, std::int64_t end, std::int64_t near,
                         at::Tensor errors) {
  const std::int64_t columns = work.rest.size(0), rows = work.rest.size(1);
  kernels::GptqColumns<C> part{.rows = rows,
                               .count = end - begin,
                               .updated = near - begin,
                               .rest = work.rest.mutable_data_ptr<C>() + begin * rows,
                               .codes = work.codes.mutable_data_ptr<C>() + begin * rows,
                               .errors = errors.mutable_data_ptr<C>(),
                               .upper = work.upper.const_data_ptr<C>() + begin * (columns + 1),
                               .upper_stride = columns,
                               .scales = work.grids.scales<C>(),
                               .zeros = work.grids.zeros<C>(),
                               .group = {},
                               .lowest = static_cast<C>(work.grids.lowest()),
                               .highest = static_cast<C>(work.grids.highest())};
  for (std::int64_t j = begin; j < end; ++j)
    part.group[j - begin] = static_cast<std::int32_t>(work.groups[static_cast<std::size_t>(j)]);
  if (!work.rest.is_cpu()) return kernels::gptq_columns_on_cuda(part, work.rest.device());
  constexpr std::int64_t kRowsOfAThread = 64;
  at::parallel_for(0, rows, kRowsOfAThread,
                   [&](std::int64_t first, std::int64_t last) { on_cpu(part, first, last); });
}

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
  const at::Tensor original = weight.to(factor.upper.scalar_type());
  Grids grids(spec, options.mse_clip, columns / group, rows, original.options(), what);
  if (options.static_groups || group == columns)
    for (std::int64_t g = 0; g < columns / group; ++g)
      grids.make(g, original.narrow(1, g * group, group));

  Work work{.grids = grids, .groups = to_vector(factor.order), .upper = factor.upper.contiguous()};
  for (std::int64_t& column : work.groups) column /= group;
  const at::Tensor position = at::argsort(factor.order);
  const std::vector<std::int64_t> last_position =
      to_vector(position.view({columns / group, group}).amax(1));
  work.rest = original.t().index_select(0, factor.order);
  work.rest.index_fill_(0, at::nonzero(factor.dead.index_select(0, factor.order)).squeeze(1), 0);
  work.codes = at::empty_like(work.rest);
  const auto quantize = work.rest.scalar_type() == at::kDouble ? quantize_columns_as<double>
                                                               : quantize_columns_as<float>;
  at::Tensor block_errors = at::empty({kBlockColumns, rows}, work.rest.options());
  // On the device, as all that follows: the loop waits for nothing.
  at::Tensor loss = at::zeros({}, block_errors.options().dtype(at::kDouble));
  for (std::int64_t begin = 0, end; begin < columns; begin = end) {
    // Columns before `near` take every error at once, those behind it the block's at its end.
    const std::int64_t near = std::min(begin + kBlockColumns, columns);
    end = near;
    for (std::int64_t j = begin, next; j < end; j = next) {
      const std::int64_t g = work.groups[static_cast<std::size_t>(j)];
      if (!grids.made(g)) {
        // A group's scale wants all of its columns up to date: else the block ends here.
        if (j > begin && last_position[static_cast<std::size_t>(g)] >= near) {
          end = j;
          break;
        }
        grids.make(g, work.rest.index_select(0, position.narrow(0, g * group, group)).t());
      }
      for (next = j + 1; next < near && grids.made(work.groups[static_cast<std::size_t>(next)]);)
        ++next;
      quantize(work, j, next, near, block_errors.slice(0, j - begin, next - begin));
    }
    const at::Tensor errors = block_errors.slice(0, 0, end - begin);
    loss.add_(errors.square().sum(at::kDouble));
    if (near < columns)
      work.rest.slice(0, near).addmm_(work.upper.slice(0, begin, end).slice(1, near).t(), errors, 1,
                                      -1);
  }
  check_quantized(weight.device());
  return {grids.weight(work.codes.index_select(0, position), spec), loss.item<double>()};
}

double squared_output(const at::Tensor& hessian, const at::Tensor& difference) {
  const at::Tensor d = difference.to(hessian.scalar_type());
  return (d.matmul(hessian) * d).sum(at::kDouble).item<double>();
}

}  // namespace harness
