// Linears as products of integers beside bfloat16's, which is what a simulated run computes: the
// packed product of oneDNN (AMX where there is one). Measured in turns in one run; the figures are
// medians over the turns. Time is that of the integer Linear, its input's quantization and its
// epilogue included. compare.sh puts a part of it into results/kernels.md.
//   integer_ms           that time
//   packed_over_integer  how many times longer the packed bfloat16 product takes
//   simulated_over_...   the same with the fake quantization of its input
//   int_mm_over_...      ATen's int8 product (oneDNN's, weight laid out anew) alone, to int32
//   error                largest difference from the product in float32, over its largest value
//   bf16_error           that of the packed bfloat16 product of the same quantized values
//   tops                 10^12 integer operations (two a product) a second

#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include <vector>

#include "harness/kernels/integer_linear.h"
#include "harness/kernels/packed_linear.h"
#include "tests/bench/turns.h"

namespace harness {
namespace {

constexpr int kTurns = 21;

double difference(const at::Tensor& y, const at::Tensor& exact) {
  return ((y.to(at::kFloat) - exact).abs().max() / exact.abs().max()).item<double>();
}

/// [rows, inputs] bfloat16 through a Linear to `outputs`.
/// @param bits of weights (symmetric) and inputs (asymmetric)
void linear(benchmark::State& state, int bits) {
  const c10::InferenceMode inference;
  const std::int64_t rows = state.range(0), inputs = state.range(1), outputs = state.range(2);
  const QuantSpec input_spec{bits, 0, false, 1.0}, weight_spec{bits, 0, true, 1.0};
  const at::Tensor x = at::randn({rows, inputs}).to(at::kBFloat16);
  const QuantizedWeight quantized =
      quantize_weight(at::randn({outputs, inputs}), weight_spec, false, "w");
  const at::Tensor values = quantized.dequantize(at::kBFloat16);
  if (!can_pack(values)) return state.SkipWithError("no packed products here");
  const at::Tensor packed = pack_weight(values);
  const IntegerWeight weight = integer_weight(quantized, {}, inputs);
  auto integer = [&] { return integer_linear(integer_input(x, input_spec, inputs, "x"), weight); };

  const at::Tensor exact = at::linear(fake_quantize(x.to(at::kFloat), input_spec, "x"),
                                      quantized.dequantize(at::kFloat));
  const double error = difference(integer(), exact);
  if (error > 1.0 / 256) return state.SkipWithError("the integer product is wrong");
  state.counters["error"] = error;
  state.counters["bf16_error"] =
      difference(packed_linear(fake_quantize(x, input_spec, "x"), packed, {}), exact);

  const at::Tensor codes = at::randint(-128, 128, {rows, inputs}, at::kChar);
  const at::Tensor transposed = quantized.codes.t();
  std::vector<double> of_integer, of_packed, of_simulated, of_int_mm;
  for (auto _ : state) {
    of_integer.push_back(seconds(integer));
    of_packed.push_back(seconds([&] { return packed_linear(x, packed, {}); }));
    of_simulated.push_back(
        seconds([&] { return packed_linear(fake_quantize(x, input_spec, "x"), packed, {}); }));
    if (rows > 16) of_int_mm.push_back(seconds([&] { return at::_int_mm(codes, transposed); }));
    state.SetIterationTime(of_integer.back());
  }
  const double time = median(of_integer);
  state.counters["integer_ms"] = 1e3 * time;
  state.counters["packed_over_integer"] = median(of_packed) / time;
  state.counters["simulated_over_integer"] = median(of_simulated) / time;
  if (!of_int_mm.empty()) state.counters["int_mm_over_integer"] = median(of_int_mm) / time;
  state.counters["tops"] =
      2e-12 * static_cast<double>(rows) * static_cast<double>(inputs * outputs) / time;
  state.SetLabel(integer_implementation());
}

BENCHMARK_CAPTURE(linear, W8A8, 8)
    ->ArgNames({"rows", "inputs", "outputs"})
    ->Args({2048, 4096, 4096})
    ->Args({2048, 4096, 14336})
    ->Args({2048, 14336, 4096})
    ->Args({2048, 576, 576})
    ->Args({2048, 576, 1536})
    ->Args({2048, 1536, 576})
    ->Args({128, 4096, 4096})
    ->Args({1, 4096, 4096})
    ->Args({1, 576, 1536})
    ->Iterations(kTurns)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(linear, W4A4, 4)
    ->ArgNames({"rows", "inputs", "outputs"})
    ->Args({2048, 4096, 4096})
    ->Iterations(kTurns)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace harness
