#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include <chrono>
#include <stdexcept>

#include "harness/kernels/attention.h"
#include "harness/kernels/machine_rates.h"

// Causal attention in float32 and bfloat16 beside at::scaled_dot_product_attention on repeated
// heads. Throws where the two differ. `share`: of the machine's matrix rate in that dtype, measured
// before the first benchmark; exponentials count as nothing. Turn by turn, with medians
// (some shapes of both, beside the rate of the same turn: kernel_bench):
//   attention_bench --benchmark_enable_random_interleaving=true --benchmark_repetitions=5
//       --benchmark_report_aggregates_only=true

namespace {

double matrix_rate(at::ScalarType dtype) {
  return harness::median_rate(harness::matrix_probe(dtype), 0.5);
}

void attention(benchmark::State& state, at::ScalarType dtype) {
  const auto batch = state.range(1), tokens = state.range(4), e = state.range(5);
  const std::int64_t group = state.range(2) / state.range(3);
  const double bound = dtype == at::kFloat ? 1e-4 : 3e-2;
  const c10::InferenceMode inference;
  auto heads = [&](std::int64_t count) {
    return at::randn({batch, tokens, count, e}).to(dtype).transpose(1, 2);
  };
  const at::Tensor q = heads(state.range(2)), k = heads(state.range(3)), v = heads(state.range(3));
  auto repeated = [&](const at::Tensor& x) {
    return group == 1 ? x : x.repeat_interleave(group, 1);
  };
  auto composed = [&] {
    return at::scaled_dot_product_attention(q, repeated(k), repeated(v), {}, 0.0, true);
  };
  if (!at::allclose(harness::causal_attention(q, k, v, {}), composed(), bound, bound))
    throw std::runtime_error("causal_attention differs from scaled_dot_product_attention");
  static const double rates[] = {matrix_rate(at::kFloat), matrix_rate(at::kBFloat16)};
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  for (auto _ : state)
    benchmark::DoNotOptimize(state.range(0) ? composed() : harness::causal_attention(q, k, v, {}));
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  // Two products of a head's size for each token and each that it sees.
  const double pairs = 0.5 * static_cast<double>(tokens * (tokens + 1));
  const double operations = 4 * static_cast<double>(batch * state.range(2) * e) * pairs;
  state.counters["share"] = operations * static_cast<double>(state.iterations()) / seconds /
                            rates[dtype == at::kFloat ? 0 : 1];
}

void shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"torch", "batch", "heads", "kv_heads", "tokens", "head_dim"})
      ->ArgsProduct({{0, 1}, {1}, {9}, {3}, {1, 4, 16, 40, 64, 100, 256, 2048}, {64}})
      ->ArgsProduct({{0, 1}, {16}, {4}, {4}, {1, 8, 32, 100}, {16}})
      ->ArgsProduct({{0, 1}, {2}, {9}, {3}, {2048}, {64}})
      ->ArgsProduct({{0, 1}, {1}, {32}, {8}, {128, 1024}, {128}})
      ->ArgsProduct({{0, 1}, {1}, {12}, {12}, {1024}, {64}})
      ->Unit(benchmark::kMicrosecond)
      ->UseRealTime();
}

BENCHMARK_CAPTURE(attention, float32, at::kFloat)->Apply(shapes);
BENCHMARK_CAPTURE(attention, bfloat16, at::kBFloat16)->Apply(shapes);

}  // namespace
