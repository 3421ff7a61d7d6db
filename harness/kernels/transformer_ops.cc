#include "harness/kernels/transformer_ops.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <cassert>

#include "harness/kernels/ops_device.h"
#include "harness/kernels/row_kernels.h"
#include "harness/kernels/transformer_cpu.h"

namespace harness {

namespace {

constexpr std::int64_t kElementsPerTask = 32768;

bool one_pass(const at::Tensor& x) {
  if (at::GradMode::is_enabled()) return false;
  return x.is_cuda() ||
         (x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16));
}

// Calls `body` with a pointer type: float, or the bits of bfloat16.
template <class Body>
void with_element_type(const at::Tensor& x, Body&& body) {
  if (x.scalar_type() == at::kFloat)
    body(float());
  else
    body(std::uint16_t());
}

template <class T>
T* data(const at::Tensor& x) {
  return static_cast<T*>(x.data_ptr());
}

/// Writes the memory of y, where rows lie one after the other in any order, and does `then` to
/// them, part by part.
/// @param unit values that are made together: a row or several
/// @param make (first unit, units)
template <class T, class Make>
void make_rows(const at::Tensor& y, std::int64_t unit, const RowSteps& then, const Make& make) {
  if (y.numel() == 0) return;
  kernels::RowChain chain(then, y);
  const std::int64_t rows = unit / y.size(-1);
  at::parallel_for(
      0, y.numel() / unit, kElementsPerTask / unit + 1, [&](std::int64_t begin, std::int64_t end) {
        kernels::for_near_rows(begin, end, unit, [&](std::int64_t first, std::int64_t units) {
          make(first, units);
          chain.run(data<T>(y) + first * unit, units * rows);
        });
      });
  chain.check(y, y);
}

/// @param make (steps): writes y and does the steps to it
template <class Make>
at::Tensor made_on_cuda(const at::Tensor& y, const RowSteps& then, const Make& make) {
  if (kernels::has_row_steps_on_cuda(y, then)) {
    make(then);
    return y;
  }
  make({});
  return apply_rows(y, then);
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon,
                    const RowSteps& then) {
  if (!one_pass(x) || weight.scalar_type() != x.scalar_type()) {
    const at::Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
    const at::Tensor scale = at::rsqrt(wide.square().mean(-1, true) + epsilon);
    return apply_rows((wide * scale).to(x.scalar_type()) * weight, then);
  }
  assert(x.is_contiguous() && weight.is_contiguous());
  at::Tensor y = at::empty_like(x);
  if (x.is_cuda())
    return made_on_cuda(y, then, [&](const RowSteps& steps) {
      kernels::rms_norm_on_cuda(x, weight, y, epsilon, steps);
    });
  const std::int64_t columns = x.size(-1);
  with_element_type(x, [&](auto element) {
    using T = decltype(element);
    make_rows<T>(y, columns, then, [&](std::int64_t first, std::int64_t rows) {
      cpu::rms_norm(data<T>(x) + first * columns, data<T>(weight), data<T>(y) + first * columns,
                    rows, columns, static_cast<float>(epsilon));
    });
  });
  return y;
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up, const RowSteps& then) {
  if (!one_pass(gate) || up.scalar_type() != gate.scalar_type())
    return apply_rows(at::silu(gate) * up, then);
  assert(gate.is_contiguous() && up.is_contiguous() && gate.sizes() == up.sizes());
  at::Tensor y = gate;
  if (gate.is_cuda()) {
    return made_on_cuda(
        y, then, [&](const RowSteps& steps) { kernels::swiglu_on_cuda(gate, up, y, steps); });
  }
  const std::int64_t columns = gate.size(-1);
  with_element_type(gate, [&](auto element) {
    using T = decltype(element);
    make_rows<T>(y, columns, then, [&](std::int64_t first, std::int64_t rows) {
      const std::int64_t at = first * columns;
      cpu::swiglu(data<T>(gate) + at, data<T>(up) + at, data<T>(y) + at, rows * columns);
    });
  });
  return y;
}

at::Tensor rotate_halves(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                         const RowSteps& then) {
  const at::ScalarType compute = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  if (!one_pass(x) || cos.scalar_type() != compute) {
    const std::vector<at::Tensor> halves = x.to(cos.scalar_type()).chunk(2, -1);
    const at::Tensor first = halves[0] * cos - halves[1] * sin;
    const at::Tensor second = halves[1] * cos + halves[0] * sin;
    return apply_rows(at::cat({first, second}, -1).to(x.scalar_type()), then);
  }
  assert(cos.is_contiguous() && sin.is_contiguous());
  const at::Tensor in = x.transpose(1, 2).contiguous();  // as a Linear has made it: no copy
  at::Tensor out = at::empty_like(in);
  const at::Tensor y = out.transpose(1, 2);
  if (x.is_cuda())
    return made_on_cuda(
        y, then, [&](const RowSteps& steps) { kernels::rotate_on_cuda(in, cos, sin, out, steps); });
  const std::int64_t tokens = in.size(1), heads = in.size(2), features = in.size(3);
  with_element_type(x, [&](auto element) {
    using T = decltype(element);
    make_rows<T>(y, heads * features, then, [&](std::int64_t first, std::int64_t count) {
      for (std::int64_t row = first; row < first + count; ++row) {
        const std::int64_t at = row * heads * features, angles = row % tokens * (features / 2);
        cpu::rotate(data<T>(in) + at, data<float>(cos) + angles, data<float>(sin) + angles,
                    data<T>(y) + at, heads, features, features / 2);
      }
    });
  });
  return y;
}

}  // namespace harness
