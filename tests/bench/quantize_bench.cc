// The fused quantizers beside what they replace, measured in turns in one run: the counter
// eager_over_fused is how many times longer the eager ATen chain takes. Time is the fused form's.

#include <ATen/ATen.h>
#include <benchmark/benchmark.h>

#include <chrono>

#include "harness/kernels/ops.h"

namespace harness {
namespace {

template <class Action>
double seconds(Action&& action) {
  const auto start = std::chrono::steady_clock::now();
  benchmark::DoNotOptimize(action());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template <class Fused, class Eager>
void compare(benchmark::State& state, Fused&& fused, Eager&& eager) {
  double fused_seconds = 0, eager_seconds = 0;
  for (auto _ : state) {
    const double elapsed = seconds(fused);
    eager_seconds += seconds(eager);
    fused_seconds += elapsed;
    state.SetIterationTime(elapsed);
  }
  state.counters["eager_over_fused"] = eager_seconds / fused_seconds;
}

/// methods.md's activation quantizer, operation by operation.
at::Tensor eager_fake_quantize(const at::Tensor& x, int bits, std::int64_t group) {
  const at::Tensor wide = x.to(at::kFloat).view({-1, group});
  const double levels = (1 << bits) - 1;
  const at::Tensor top = wide.amax(-1, true).clamp_min(1e-6);
  const at::Tensor bottom = wide.amin(-1, true).clamp_max(0.0);
  const at::Tensor scale = (top - bottom).clamp_min(1e-6) / levels;
  const at::Tensor zero = (-bottom / scale).round();
  const at::Tensor code = ((wide / scale).round() + zero).clamp(0.0, levels);
  return ((code - zero) * scale).view(x.sizes()).to(x.scalar_type());
}

/// 2048 tokens of `features`, a scale per `group` of them.
void fake_quantize_activations(benchmark::State& state, at::ScalarType dtype) {
  const std::int64_t features = state.range(0), group = state.range(1);
  const at::Tensor x = at::randn({2048, features}).to(dtype);
  compare(
      state,
      [&] {
        return fake_quantize(x, {4, group, false, 1.0}, "x");
      },
      [&] { return eager_fake_quantize(x, 4, group); });
  state.SetBytesProcessed(state.iterations() * x.numel() * 2 *
                          static_cast<std::int64_t>(x.element_size()));
}
BENCHMARK_CAPTURE(fake_quantize_activations, float32, at::kFloat)
    ->Args({576, 576})
    ->Args({1536, 1536})
    ->Args({4096, 128})
    ->UseManualTime();
BENCHMARK_CAPTURE(fake_quantize_activations, bfloat16, at::kBFloat16)
    ->Args({576, 576})
    ->Args({1536, 1536})
    ->Args({4096, 128})
    ->UseManualTime();

/// 256 rows of a large vocabulary's logits.
void token_nll_of_logits(benchmark::State& state, at::ScalarType dtype) {
  const std::int64_t vocabulary = state.range(0);
  const at::Tensor logits = (at::randn({256, vocabulary}) * 4).to(dtype);
  const at::Tensor targets = at::randint(vocabulary, {256}, at::kLong);
  compare(
      state, [&] { return token_nll(logits, targets); },
      [&] {
        const at::Tensor wide = logits.to(at::kFloat);
        return at::logsumexp(wide, 1) - wide.gather(1, targets.unsqueeze(1)).squeeze(1);
      });
}
BENCHMARK_CAPTURE(token_nll_of_logits, float32, at::kFloat)->Arg(49152)->UseManualTime();
BENCHMARK_CAPTURE(token_nll_of_logits, bfloat16, at::kBFloat16)->Arg(49152)->UseManualTime();

/// The search over 80 clip ratios: weights a second.
void mse_clipping(benchmark::State& state) {
  const at::Tensor w = at::randn({256, 1536}, at::kBFloat16);
  for (auto _ : state) benchmark::DoNotOptimize(quantize_weight(w, {4, 0, true, 1.0}, true, "w"));
  state.SetItemsProcessed(state.iterations() * w.numel());
}
BENCHMARK(mse_clipping);

}  // namespace
}  // namespace harness
