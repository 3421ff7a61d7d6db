#include "harness/kernels/transformer_ops.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <cassert>

#include "harness/kernels/ops_device.h"
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

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  if (!one_pass(x) || weight.scalar_type() != x.scalar_type()) {
    const at::Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
    const at::Tensor scale = at::rsqrt(wide.square().mean(-1, true) + epsilon);
    return (wide * scale).to(x.scalar_type()) * weight;
  }
  assert(x.is_contiguous() && weight.is_contiguous());
  at::Tensor y = at::empty_like(x);
  if (x.is_cuda()) {
    kernels::rms_norm_on_cuda(x, weight, y, epsilon);
    return y;
  }
  const std::int64_t columns = x.size(-1), rows = x.numel() / columns;
  with_element_type(x, [&](auto element) {
    using T = decltype(element);
    at::parallel_for(
        0, rows, kElementsPerTask / columns + 1, [&](std::int64_t begin, std::int64_t end) {
          cpu::rms_norm(data<T>(x) + begin * columns, data<T>(weight), data<T>(y) + begin * columns,
                        end - begin, columns, static_cast<float>(epsilon));
        });
  });
  return y;
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  if (!one_pass(gate) || up.scalar_type() != gate.scalar_type()) return at::silu(gate) * up;
  assert(gate.is_contiguous() && up.is_contiguous() && gate.sizes() == up.sizes());
  if (gate.is_cuda()) {
    at::Tensor y = gate;
    kernels::swiglu_on_cuda(gate, up, y);
    return y;
  }
  with_element_type(gate, [&](auto element) {
    using T = decltype(element);
    at::parallel_for(0, gate.numel(), kElementsPerTask, [&](std::int64_t begin, std::int64_t end) {
      cpu::swiglu(data<T>(gate) + begin, data<T>(up) + begin, data<T>(gate) + begin, end - begin);
    });
  });
  return gate;
}

at::Tensor rotate_halves(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const at::ScalarType compute = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  if (!one_pass(x) || cos.scalar_type() != compute) {
    const std::vector<at::Tensor> halves = x.to(cos.scalar_type()).chunk(2, -1);
    const at::Tensor first = halves[0] * cos - halves[1] * sin;
    const at::Tensor second = halves[1] * cos + halves[0] * sin;
    return at::cat({first, second}, -1).to(x.scalar_type());
  }
  assert(x.stride(3) == 1 && cos.is_contiguous() && sin.is_contiguous());
  at::Tensor y = at::empty_strided(x.sizes(), x.strides(), x.options());
  if (x.is_cuda()) {
    kernels::rotate_on_cuda(x, cos, sin, y);
    return y;
  }
  const std::int64_t heads = x.size(1), tokens = x.size(2), half = cos.size(1);
  with_element_type(x, [&](auto element) {
    using T = decltype(element);
    at::parallel_for(0, x.size(0) * tokens, kElementsPerTask / (heads * 2 * half) + 1,
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t row = begin; row < end; ++row) {
                         const std::int64_t token = row % tokens;
                         const std::int64_t offset =
                             row / tokens * x.stride(0) + token * x.stride(2);
                         cpu::rotate(data<T>(x) + offset, data<float>(cos) + token * half,
                                     data<float>(sin) + token * half, data<T>(y) + offset, heads,
                                     x.stride(1), half);
                       }
                     });
  });
  return y;
}

}  // namespace harness
