#include "harness/kernels/divergence.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <memory>

#include "harness/core/error.h"
#include "harness/kernels/cpu_kernels.h"
#include "harness/kernels/divergence_block.h"
#include "harness/kernels/ops_device.h"

namespace harness {
namespace {

using kernels::Divergences;

constexpr const char* kWhat = "divergence_gradient";

std::string described(const at::Tensor& x) {
  if (!x.defined()) return "none";
  return fmt::format("{} [{}]", c10::toString(x.scalar_type()), fmt::join(x.sizes(), ", "));
}

void check_term(const at::Tensor& logits, const DivergenceFrom& term, bool renormalise) {
  const std::int64_t rows = logits.size(0), vocabulary = logits.size(1);
  auto near = [&](const at::Tensor& x) {
    return x.defined() && (x.is_cpu() || x.device() == logits.device());
  };
  const bool all = !term.indices.defined();
  const bool logits_fit = near(term.logits) && term.logits.dim() == 2 &&
                          term.logits.size(0) == rows &&
                          term.logits.scalar_type() == logits.scalar_type();
  const bool indices_fit =
      logits_fit && (all ? term.logits.size(1) == vocabulary
                         : near(term.indices) && term.indices.sizes() == term.logits.sizes() &&
                               term.indices.scalar_type() == at::kLong);
  const bool sums_fit = renormalise || (near(term.log_sum_exp) && term.log_sum_exp.dim() == 1 &&
                                        term.log_sum_exp.size(0) == rows);
  if (!indices_fit || !sums_fit)
    throw Error(kWhat,
                fmt::format("logits {} beside those of a term {}, indices {}, log-sum-exp {}",
                            described(logits), described(term.logits), described(term.indices),
                            described(term.log_sum_exp)),
                "[n, vocabulary] beside [n, k] of that dtype, int64 [n, k] or none, [n]");
  if (all || !term.indices.is_cpu() || term.indices.numel() == 0) return;
  const auto [least, most] = at::aminmax(term.indices);
  for (const std::int64_t index : {least.item<std::int64_t>(), most.item<std::int64_t>()})
    if (index < 0 || index >= vocabulary)
      throw Error(kWhat, fmt::format("index {}", index),
                  fmt::format("0 to {}, the logits' columns", vocabulary - 1));
}

/// The terms as kernels take them, and what they point to.
class TermsOnDevice {
 public:
  TermsOnDevice(const at::Tensor& logits, const std::vector<DivergenceFrom>& terms,
                bool renormalise)
      : arguments_{logits.size(1), renormalise, static_cast<int>(terms.size()), {}} {
    auto there = [&](const at::Tensor& x, at::ScalarType dtype) {
      kept_.push_back(x.to(logits.device(), dtype, /*non_blocking=*/!logits.is_cpu()).contiguous());
      return kept_.back().const_data_ptr();
    };
    for (std::size_t t = 0; t < terms.size(); ++t) {
      check_term(logits, terms[t], renormalise);
      kernels::DivergenceTerm& to = arguments_.term[t];
      if (terms[t].indices.defined())
        to.indices = static_cast<const std::int64_t*>(there(terms[t].indices, at::kLong));
      to.logits = there(terms[t].logits, logits.scalar_type());
      if (!renormalise)
        to.log_sum_exp = static_cast<const double*>(there(terms[t].log_sum_exp, at::kDouble));
      to.count = terms[t].logits.size(1);
      to.weight = terms[t].weight;
    }
  }
  const Divergences& arguments() const { return arguments_; }

 private:
  Divergences arguments_;
  std::vector<at::Tensor> kept_;
};

void on_cpu(const at::Tensor& logits, const Divergences& d, at::Tensor& gradient,
            at::Tensor& values) {
  const kernels::DType dtype = kernels::kernel_dtype(logits, kWhat);
  const void* from = logits.const_data_ptr();
  void* to = gradient.mutable_data_ptr();
  double* of_rows = values.mutable_data_ptr<double>();
  const std::int64_t grain = kernels::grain_of(d.vocabulary);
  at::parallel_for(0, logits.size(0), grain, [&](std::int64_t begin, std::int64_t end) {
    if (dtype == kernels::DType::f64) {
      const auto shared = std::make_unique<kernels::DivergenceShared<double>>();
      for (std::int64_t row = begin; row < end; ++row)
        divergences_of_row(kernels::OneThread(), static_cast<const double*>(from), d,
                           static_cast<double*>(to), of_rows, row, *shared);
      return;
    }
    std::vector<float> memory(static_cast<std::size_t>(kernels::divergence_memory(d)));
    kernels::supported_cpu_kernels().front()->divergences(dtype, from, d, to, of_rows, begin, end,
                                                          memory.data());
  });
}

}  // namespace

at::Tensor divergence_gradient(const at::Tensor& logits, const std::vector<DivergenceFrom>& terms,
                               bool renormalise, at::Tensor& sums) {
  const auto count = static_cast<std::int64_t>(terms.size());
  if (logits.dim() != 2 || count < 1 || count > kernels::kDivergenceTerms ||
      sums.scalar_type() != at::kDouble || sums.dim() != 1 || sums.size(0) != count ||
      sums.device() != logits.device())
    throw Error(
        kWhat,
        fmt::format("logits {}, {} terms, sums {}", described(logits), count, described(sums)),
        "logits [n, vocabulary], 1 or 2 terms and as many sums in float64 beside them");
  const at::Tensor in = logits.contiguous();
  const TermsOnDevice on_device(in, terms, renormalise);
  at::Tensor gradient = at::empty_like(in);
  if (in.numel() == 0) return gradient;
  at::Tensor values = at::empty({in.size(0), count}, in.options().dtype(at::kDouble));
  if (!in.is_cpu()) {
    kernels::divergences_on_cuda(in, on_device.arguments(), gradient, values);
    sums.add_(values.sum(0));
    return gradient;
  }
  on_cpu(in, on_device.arguments(), gradient, values);
  // One after the other: the order is the same for any number of threads.
  const double* value = values.const_data_ptr<double>();
  for (std::int64_t t = 0; t < count; ++t) {
    double sum = 0;
    for (std::int64_t row = 0; row < in.size(0); ++row) sum += value[row * count + t];
    sums[t] += sum;
  }
  return gradient;
}

}  // namespace harness
