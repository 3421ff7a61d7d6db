#include "harness/kernels/row_steps.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include "harness/kernels/hadamard.h"
#include "harness/kernels/ops.h"
#include "harness/kernels/ops_device.h"
#include "harness/kernels/row_kernels.h"

namespace harness {
namespace {

struct Apply {
  const at::Tensor& x;
  at::Tensor operator()(const HadamardRows& step) const {
    return hadamard_transform(x, step.inner);
  }
  at::Tensor operator()(const QuantizeRows& step) const {
    return fake_quantize(x, step.spec, step.what);
  }
};

at::Tensor one_by_one(at::Tensor x, const RowSteps& steps) {
  for (const RowStep& step : steps) x = std::visit(Apply{x}, step);
  return x;
}

struct MakeKernel {
  const at::Tensor& rows;
  kernels::RowKernel operator()(const HadamardRows& step) const {
    return kernels::hadamard_kernel(rows, step.inner, false);
  }
  kernels::RowKernel operator()(const QuantizeRows& step) const {
    return kernels::fake_quantize_kernel(rows, step.spec, step.what);
  }
};

}  // namespace

namespace kernels {

bool has_row_chain(const at::Tensor& x) {
  return x.is_cpu() && !at::GradMode::is_enabled() && x.numel() > 0 &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

RowChain::RowChain(const RowSteps& steps, const at::Tensor& rows) : steps_(steps) {
  for (const RowStep& step : steps) kernels_.push_back(std::visit(MakeKernel{rows}, step));
}

void RowChain::run(const void* from, void* to, std::int64_t count) {
  for (std::size_t i = 0; i < kernels_.size(); ++i) {
    if (!kernels_[i](i == 0 ? from : to, to, count)) {
      failed_ = &steps_[i];
      return;
    }
  }
}

void RowChain::check(const at::Tensor& from, const at::Tensor& to) const {
  if (const RowStep* step = failed_)
    check_finite(step == &steps_.front() ? from : to, std::get<QuantizeRows>(*step).what);
}

}  // namespace kernels

at::Tensor apply_rows(const at::Tensor& x, const RowSteps& steps) {
  const bool on_cuda = x.is_cuda() && !at::GradMode::is_enabled() && x.numel() > 0;
  if (steps.size() < 2 || !(on_cuda || kernels::has_row_chain(x))) return one_by_one(x, steps);
  // Rows are independent and lie along the last dimension: any dense order of the others will do.
  const bool as_it_lies = x.is_non_overlapping_and_dense() && x.stride(-1) == 1;
  const at::Tensor in = as_it_lies ? x : x.contiguous();
  at::Tensor out = at::empty_like(in);
  if (on_cuda) {
    if (!kernels::has_row_steps_on_cuda(out, steps)) return one_by_one(x, steps);
    kernels::change_rows_on_cuda(in, out, steps);
    return out;
  }
  kernels::RowChain chain(steps, in);
  const std::int64_t features = x.size(-1);
  const std::int64_t bytes = features * static_cast<std::int64_t>(in.element_size());
  const char* from = static_cast<const char*>(in.const_data_ptr());
  char* to = static_cast<char*>(out.mutable_data_ptr());
  at::parallel_for(0, x.numel() / features, kernels::grain_of(features),
                   [&](std::int64_t begin, std::int64_t end) {
                     kernels::for_near_rows(
                         begin, end, features, [&](std::int64_t first, std::int64_t count) {
                           chain.run(from + first * bytes, to + first * bytes, count);
                         });
                   });
  chain.check(in, out);
  return out;
}

}  // namespace harness
