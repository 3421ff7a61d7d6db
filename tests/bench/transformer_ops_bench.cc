#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <benchmark/benchmark.h>

#include "harness/kernels/hadamard.h"
#include "harness/kernels/transformer_ops.h"

// The fused passes against the same functions from ATen's operators (what they are where gradients
// are recorded), at SmolLM2's shapes: argument 0 fused, 1 composed.

namespace {

constexpr std::int64_t kTokens = 2048, kHidden = 576, kInner = 1536, kHeads = 9, kHeadDim = 64;

void rms_norm(benchmark::State& state, at::ScalarType dtype) {
  const at::AutoGradMode composed(state.range(0) == 1);
  const at::Tensor x = at::randn({kTokens, kHidden}).to(dtype), weight = at::ones({kHidden}, dtype);
  for (auto _ : state) benchmark::DoNotOptimize(harness::rms_norm(x, weight, 1e-5));
}

void swiglu(benchmark::State& state, at::ScalarType dtype) {
  const at::AutoGradMode composed(state.range(0) == 1);
  const at::Tensor gate = at::zeros({kTokens, kInner}, dtype), up = at::ones_like(gate);
  for (auto _ : state) benchmark::DoNotOptimize(harness::swiglu(gate, up));
}

void rotate(benchmark::State& state, at::ScalarType dtype) {
  const at::AutoGradMode composed(state.range(0) == 1);
  const at::Tensor x = at::randn({1, kTokens, kHeads, kHeadDim}).to(dtype).transpose(1, 2);
  const at::Tensor angles = at::randn({kTokens, kHeadDim / 2});
  const at::Tensor cos = angles.cos(), sin = angles.sin();
  for (auto _ : state) benchmark::DoNotOptimize(harness::rotate_halves(x, cos, sin));
}

// Argument 0: the size; 1: 0 by the fast product, 1 with the written-out matrix.
void hadamard(benchmark::State& state, at::ScalarType dtype) {
  const at::Tensor x = at::randn({128, state.range(0)}).to(dtype);
  const at::Tensor h = state.range(1) ? at::randn({x.size(1), x.size(1)}).to(dtype) : at::Tensor();
  for (auto _ : state)
    benchmark::DoNotOptimize(h.defined() ? x.matmul(h) : harness::hadamard_transform(x));
}

BENCHMARK_CAPTURE(hadamard, float32, at::kFloat)
    ->ArgsProduct({{576, 1536, 4096, 11008, 14336}, {0, 1}})
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(hadamard, bfloat16, at::kBFloat16)
    ->ArgsProduct({{1536, 14336}, {0, 1}})
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(rms_norm, float32, at::kFloat)->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(rms_norm, bfloat16, at::kBFloat16)->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(swiglu, float32, at::kFloat)->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(swiglu, bfloat16, at::kBFloat16)->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(rotate, float32, at::kFloat)->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(rotate, bfloat16, at::kBFloat16)->Arg(0)->Arg(1);

}  // namespace
