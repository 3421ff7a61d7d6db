#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "harness/kernels/divergence.h"
#include "harness/kernels/divergence_scalar.h"

// Divergences as methods.md section 6 defines them, by autograd in float64: what every
// implementation is compared with.

namespace harness::test {

/// Logits, and two terms of other weights whose subsets overlap.
struct DivergenceCase {
  at::Tensor logits;
  std::vector<DivergenceFrom> terms;

  /// @param first_k, second_k of the subsets; 0: the whole vocabulary
  static DivergenceCase random(at::ScalarType dtype, std::int64_t rows, std::int64_t vocabulary,
                               std::int64_t first_k, std::int64_t second_k, std::uint64_t seed) {
    at::Generator generator = at::detail::createCPUGenerator(seed);
    auto values = [&] { return (4 * at::randn({rows, vocabulary}, generator)).to(dtype); };
    DivergenceCase result{values(), {}};
    const at::Tensor common = values();
    double weight = 1;
    for (const std::int64_t k : {first_k, second_k}) {
      const at::Tensor all = (common + 0.3 * values()).to(dtype);
      DivergenceFrom term{.logits = all, .weight = weight};
      term.log_sum_exp = at::logsumexp(all.to(at::kDouble), {-1});
      if (dtype != at::kDouble) term.log_sum_exp = term.log_sum_exp.to(at::kFloat);
      if (k > 0) {
        term.indices = std::get<1>(all.topk(k, -1));
        term.logits = all.gather(1, term.indices);
      }
      result.terms.push_back(term);
      weight = -0.75;
    }
    return result;
  }
};

/// What kernels are given. The case must outlive it.
inline kernels::Divergences arguments_of(DivergenceCase& given, bool renormalise) {
  kernels::Divergences d{given.logits.size(1), renormalise, 0, {}};
  for (DivergenceFrom& term : given.terms) {
    term.log_sum_exp = term.log_sum_exp.to(at::kDouble);
    d.term[d.terms++] = {
        term.indices.defined() ? term.indices.const_data_ptr<std::int64_t>() : nullptr,
        term.logits.const_data_ptr(), term.log_sum_exp.const_data_ptr<double>(),
        term.logits.size(1), term.weight};
  }
  return d;
}

/// Whether a gradient and the terms' sums over the rows are the definition's: in float64 to 1e-12,
/// else to 1e-6 and one step of the dtype. The sums relative to what they would be without signs.
inline testing::AssertionResult is_reference(const DivergenceCase& given, bool renormalise,
                                             const at::Tensor& gradient, const at::Tensor& sums) {
  const at::AutoGradMode recording(true);
  const at::ScalarType dtype = given.logits.scalar_type();
  const double bound = dtype == at::kDouble ? 1e-12 : 1e-6;
  const double step = dtype == at::kBFloat16 ? 0x1p-8 : dtype == at::kHalf ? 0x1p-11 : bound;
  const at::Tensor z = given.logits.to(at::kDouble).detach().clone().set_requires_grad(true);
  at::Tensor total = at::zeros({}, at::kDouble);
  for (std::size_t t = 0; t < given.terms.size(); ++t) {
    const DivergenceFrom& term = given.terms[t];
    auto subset = [&](const at::Tensor& x) {
      return term.indices.defined() ? x.gather(1, term.indices) : x;
    };
    const at::Tensor l = term.logits.to(at::kDouble);
    const at::Tensor log_p =
        renormalise ? at::log_softmax(l, -1) : l - term.log_sum_exp.to(at::kDouble).unsqueeze(-1);
    const at::Tensor log_q =
        renormalise ? at::log_softmax(subset(z), -1) : subset(at::log_softmax(z, -1));
    const at::Tensor parts = log_p.exp() * (log_p - log_q);
    const double size = parts.abs().sum().item<double>() + bound;
    const double off =
        std::abs(sums[static_cast<std::int64_t>(t)].item<double>() - parts.sum().item<double>());
    if (!(off <= bound * size))
      return testing::AssertionFailure()
             << c10::toString(dtype) << ": term " << t << " is off by " << off << " of " << size;
    total = total + term.weight * parts.sum();
  }
  total.backward();
  const at::Tensor expected = z.grad();
  if (gradient.scalar_type() != dtype) return testing::AssertionFailure() << "another dtype";
  const at::Tensor excess =
      (gradient.to(at::kDouble) - expected).abs() - (bound + step * expected.abs());
  if (excess.le(0).all().item<bool>()) return testing::AssertionSuccess();
  return testing::AssertionFailure() << c10::toString(dtype) << ": the gradient is off by "
                                     << excess.max().item<double>() << " more than allowed";
}

}  // namespace harness::test
