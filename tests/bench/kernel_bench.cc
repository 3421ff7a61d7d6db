// The CPU kernels beside what a user would run instead, the same formulas in eager ATen, and beside
// what the machine could do at most. Every turn measures all three one after the other; reported
// are medians over the turns. Before the first turn both results are compared.
//   compare.sh makes results/kernels.md of it:
//   kernel_bench [--model=FILE] [--benchmark_filter=REGEX] [--benchmark_format=csv]

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "harness/core/memory.h"
#include "harness/kernels/attention.h"
#include "harness/kernels/hadamard.h"
#include "harness/kernels/machine_rates.h"
#include "harness/kernels/ops.h"
#include "harness/kernels/straight_through.h"
#include "harness/kernels/transformer_ops.h"
#include "harness/model/llama.h"
#include "harness/model/weight_memory.h"
#include "harness/quant/gptq.h"
#include "harness/quant/sites.h"
#include "harness/quant/training_loss.h"
#include "harness/quant/transform.h"
#include "tests/bench/turns.h"

namespace harness {
namespace {

constexpr int kTurns = 7;

using Action = std::function<at::Tensor()>;

/// The least that the machine needs for a kernel's work.
struct Roofline {
  const char* name;
  RateProbe probe;
  double work;  // in the probe's units
};

/// Everything is read once and written once.
Roofline copying(double bytes) { return {"copy", copy_probe(std::int64_t{1} << 26), bytes}; }
Roofline copying(const at::Tensor& read, const at::Tensor& written) {
  return copying(static_cast<double>(read.nbytes() + written.nbytes()));
}
/// @param dtype float32 or bfloat16
Roofline multiplying(double operations, at::ScalarType dtype = at::kFloat) {
  return {dtype == at::kFloat ? "fp32 product" : "bf16 product", matrix_probe(dtype), operations};
}

/// The largest difference, relative to the largest value.
double difference(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  return (x - y).abs().max().item<double>() / std::max(y.abs().max().item<double>(), 1e-300);
}

/// What a benchmark compares.
struct Sides {
  Action ours, eager;
  double tolerance;  // of the difference between the two results
  Roofline roofline;
  std::function<double(const at::Tensor&, const at::Tensor&)> difference = harness::difference;
  // Each side runs once more before it is timed: for sides so alike that the first would lose by
  // what the probe has left in the caches.
  bool warm = false;
  // Before every call, not timed: for sides that write over what they read.
  std::function<void()> prepare = [] {};
};

void compare(benchmark::State& state, const Sides& sides) {
  auto run = [&](const Action& side) {
    sides.prepare();
    return side();
  };
  auto time = [&](const Action& side) {
    sides.prepare();
    return seconds(side);
  };
  // Also warms both sides up. A copy, since a result may lie where prepare() writes.
  const at::Tensor result = run(sides.ours).clone();
  const double found = sides.difference(result, run(sides.eager));
  if (!(found <= sides.tolerance)) {
    state.SkipWithError(("the results differ by " + std::to_string(found)).c_str());
    return;
  }
  sides.roofline.probe();
  std::vector<double> ours, eager, limit, ratio, share;
  for (auto _ : state) {
    if (sides.warm) run(sides.ours);
    ours.push_back(time(sides.ours));
    if (sides.warm) run(sides.eager);
    eager.push_back(time(sides.eager));
    limit.push_back(sides.roofline.work / sides.roofline.probe());
    ratio.push_back(eager.back() / ours.back());
    share.push_back(limit.back() / ours.back());
    state.SetIterationTime(ours.back());
  }
  state.counters["ours_ms"] = 1e3 * median(ours);
  state.counters["eager_ms"] = 1e3 * median(eager);
  state.counters["limit_ms"] = 1e3 * median(limit);
  state.counters["ratio"] = median(ratio);
  state.counters["least_ratio"] = *std::min_element(ratio.begin(), ratio.end());
  state.counters["share"] = median(share);
  state.counters["difference"] = found;
  state.SetLabel(sides.roofline.name);
}

at::Tensor random(at::IntArrayRef shape, at::ScalarType dtype = at::kFloat,
                  std::uint64_t seed = 1) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::kFloat).to(dtype);
}

/// How far apart the same formulas may be where sums or exponentials are other ones.
double rounding(at::ScalarType dtype) { return dtype == at::kFloat ? 1e-5 : 1e-2; }

// ---- fake quantization

/// methods.md's asymmetric quantizer, operation by operation: amax, amin, clamp x2, sub, div, div,
/// round, add, clamp, sub, mul. Straight through the rounding where gradients are recorded.
at::Tensor eager_fake_quantize(const at::Tensor& x, int bits, std::int64_t group) {
  auto round = [](const at::Tensor& v) {
    return v.requires_grad() ? v + (v.round() - v).detach() : v.round();
  };
  const at::Tensor wide = x.to(at::kFloat).view({-1, group});
  const double levels = (1 << bits) - 1;
  const at::Tensor top = wide.amax(-1, true).clamp_min(1e-6);
  const at::Tensor bottom = wide.amin(-1, true).clamp_max(0.0);
  const at::Tensor scale = (top - bottom).clamp_min(1e-6) / levels;
  const at::Tensor zero = (-bottom / scale).round().detach();
  const at::Tensor code = (round(wide / scale) + zero).clamp(0.0, levels);
  return ((code - zero) * scale).view(x.sizes()).to(x.scalar_type());
}

void fake_quantize_per_token(benchmark::State& state, at::ScalarType dtype) {
  const std::int64_t features = state.range(1), group = state.range(2);
  const at::Tensor x = random({state.range(0), features}, dtype);
  compare(state, {[&] {
                    return fake_quantize(x, {4, group, false, 1.0}, "x");
                  },
                  [&] { return eager_fake_quantize(x, 4, group); }, 0, copying(x, x)});
}

at::Tensor with_gradient(const at::Tensor& x, const at::Tensor& gradient,
                         const std::function<at::Tensor(const at::Tensor&)>& function) {
  const at::AutoGradMode recording(true);
  const at::Tensor leaf = x.detach().requires_grad_(true);
  function(leaf).backward(gradient);
  return leaf.grad();
}

/// Forward reads x and writes the values, backward reads x and the gradient and writes a gradient.
void straight_through(benchmark::State& state, at::ScalarType dtype) {
  const std::int64_t features = state.range(1), group = state.range(2);
  const at::Tensor x = random({state.range(0), features}, dtype);
  const at::Tensor gradient = at::randn_like(x, at::kFloat).to(dtype);
  auto ours = [&](const at::Tensor& leaf) {
    return fake_quantize_straight_through(leaf, {4, group, false, 1.0}, "x");
  };
  auto eager = [&](const at::Tensor& leaf) { return eager_fake_quantize(leaf, 4, group); };
  compare(state, {[&] { return with_gradient(x, gradient, ours); },
                  [&] { return with_gradient(x, gradient, eager); }, rounding(dtype),
                  copying(2.5 * 2 * double(x.nbytes()))});
}

// ---- weights

/// methods.md's symmetric quantizer of a weight, per row.
at::Tensor eager_fake_quantize_weight(const at::Tensor& w, int bits) {
  const at::Tensor wide = w.to(at::kFloat);
  const double half = 1 << (bits - 1);
  const at::Tensor scale = at::maximum(wide.amax(1, true).clamp_min(1e-6) / (half - 1),
                                       wide.amin(1, true).clamp_max(0.0) / -half);
  return ((wide / scale).round().clamp(-half, half - 1) * scale).to(w.scalar_type());
}

void fake_quantize_rows(benchmark::State& state, at::ScalarType dtype) {
  const at::Tensor w = random({state.range(0), state.range(1)}, dtype);
  compare(state, {[&] {
                    return fake_quantize_weight(w, {4, 0, true, 1.0}, "w");
                  },
                  [&] { return eager_fake_quantize_weight(w, 4); }, 0, copying(w, w)});
}

/// The search over 80 ratios in as many passes: [out, in] float32, symmetric, per row.
at::Tensor eager_mse_clip(const at::Tensor& w, int bits) {
  const double half = 1 << (bits - 1);
  const at::Tensor max = w.amax(1, true), min = w.amin(1, true);
  at::Tensor best, least;
  for (int i = 0; i < 80; ++i) {
    const double p = (100 - i) / 100.0;
    const at::Tensor scale =
        at::maximum((max * p).clamp_min(1e-6) / (half - 1), (min * p).clamp_max(0.0) / -half);
    const at::Tensor value = (w / scale).round().clamp(-half, half - 1) * scale;
    const at::Tensor error = (value - w).abs().pow(2.4).sum(1, true);
    if (i == 0) {
      best = scale;
      least = error;
    } else {
      const at::Tensor better = error < least;
      best = at::where(better, scale, best);
      least = at::where(better, error, least);
    }
  }
  return best;
}

/// Operations of the search over all ratios: for 80 candidates and each value 9 to quantize, 2 for
/// the error, 30 for its power. Ours leaves most of them out, so that its share can be above one.
void mse_clip(benchmark::State& state) {
  const at::Tensor w = random({state.range(0), state.range(1)});
  compare(state, {[&] {
                    return quantize_weight(w, {4, 0, true, 1.0}, true, "w").scales;
                  },
                  // A ratio whose neighbour is as good may be chosen by rounding.
                  [&] { return eager_mse_clip(w, 4); }, 0.02,
                  multiplying(80.0 * 41 * static_cast<double>(w.numel()))});
}

/// GPTQ's columns as its authors' code takes them, on row scales: in blocks of 128, one column
/// after the other, then the columns after the block.
at::Tensor eager_gptq(const at::Tensor& weight, const at::Tensor& upper, const at::Tensor& scale,
                      int bits) {
  const double half = 1 << (bits - 1);
  at::Tensor w = weight.clone(), codes = at::empty_like(w);
  const std::int64_t columns = w.size(1);
  for (std::int64_t begin = 0; begin < columns; begin += 128) {
    const std::int64_t end = std::min<std::int64_t>(begin + 128, columns);
    at::Tensor block = w.slice(1, begin, end).clone(), errors = at::zeros_like(block);
    const at::Tensor u = upper.slice(0, begin, end).slice(1, begin, end);
    for (std::int64_t i = 0; i < end - begin; ++i) {
      const at::Tensor column = block.select(1, i);
      const at::Tensor code = (column / scale).round().clamp(-half, half - 1);
      codes.select(1, begin + i).copy_(code);
      const at::Tensor error = (column - code * scale) / u[i][i];
      block.slice(1, i).sub_(error.unsqueeze(1).matmul(u[i].slice(0, i).unsqueeze(0)));
      errors.select(1, i).copy_(error);
    }
    w.slice(1, end).sub_(errors.matmul(upper.slice(0, begin, end).slice(1, end)));
  }
  return codes.to(at::kChar);
}

/// Of a weight [rows, columns]. The results are compared by what they do to the output: where a
/// value is on the edge between two codes, rounding chooses, and the columns after it follow.
void gptq_columns(benchmark::State& state) {
  const std::int64_t rows = state.range(0), columns = state.range(1);
  const at::Tensor w = random({rows, columns});
  const at::Tensor x = random({2 * columns, columns}).mul(random({columns}).exp());
  const at::Tensor hessian = x.t().matmul(x);
  const GptqOptions options{.mse_clip = false};
  const GptqFactor factor = factor_hessian(hessian, options, "H");
  const QuantSpec spec{4, 0, true, 1.0};
  const at::Tensor scale = quantize_weight(w, spec, false, "w").scales;
  auto loss = [&](const at::Tensor& codes) {
    return squared_output(hessian, w - codes.to(at::kFloat) * scale);
  };
  const double n = static_cast<double>(columns);
  compare(state, {[&] { return gptq(w, factor, spec, options, "w").weight.codes; },
                  [&] { return eager_gptq(w, factor.upper, scale.select(1, 0), 4); }, 1e-2,
                  multiplying(static_cast<double>(rows) * n * n),
                  [&](const at::Tensor& a, const at::Tensor& b) {
                    return std::abs(loss(a) / loss(b) - 1);
                  }});
}

// ---- Hadamard

/// Butterflies by ATen for the power of two, one product for the other factor.
at::Tensor eager_hadamard(const at::Tensor& x, const at::Tensor& signs) {
  const HadamardOrder order = hadamard_order(x.size(-1));
  at::Tensor y = x.to(at::kFloat);
  for (std::int64_t stride = 1; stride < order.power; stride *= 2) {
    const at::Tensor pairs = y.view({-1, 2, stride});
    const at::Tensor first = pairs.select(1, 0), second = pairs.select(1, 1);
    y = at::stack({first + second, first - second}, 1);
  }
  if (order.m > 1) y = at::matmul(signs, y.view({-1, order.m, order.power}));
  const double size = static_cast<double>(order.m * order.power);
  return (y * (1 / std::sqrt(size))).view(x.sizes()).to(x.scalar_type());
}

void hadamard(benchmark::State& state, at::ScalarType dtype) {
  const at::Tensor x = random({state.range(0), state.range(1)}, dtype);
  const std::int64_t m = hadamard_order(x.size(1)).m;
  std::vector<std::int8_t> matrix = paley_matrix(m);
  const at::Tensor signs =
      at::from_blob(matrix.data(), {m, m}, at::kChar).t().to(at::kFloat).contiguous();
  compare(state, {[&] { return hadamard_transform(x); }, [&] { return eager_hadamard(x, signs); },
                  rounding(dtype), copying(x, x)});
}

// ---- between a block's products, and behind the last

/// The composed forms are what these functions are where gradients are recorded.
Action composed(const Action& action) {
  return [action] {
    const at::AutoGradMode recording(true);
    return action();
  };
}

void token_nll_of_logits(benchmark::State& state, at::ScalarType dtype) {
  const at::Tensor logits = random({state.range(0), state.range(1)}, dtype) * 4;
  const at::Tensor targets = at::randint(state.range(1), {state.range(0)}, at::kLong);
  compare(state, {[&] { return token_nll(logits, targets); },
                  [&] {
                    const at::Tensor wide = logits.to(at::kFloat);
                    return at::logsumexp(wide, 1) - wide.gather(1, targets.unsqueeze(1)).squeeze(1);
                  },
                  1e-5, copying(logits, targets)});
}

void rms_norm_of_tokens(benchmark::State& state, at::ScalarType dtype) {
  const at::Tensor x = random({state.range(0), state.range(1)}, dtype);
  const at::Tensor weight = random({state.range(1)}, dtype);
  const Action ours = [&] { return rms_norm(x, weight, 1e-5); };
  compare(state, {ours, composed(ours), rounding(dtype), copying(x, x)});
}

/// The fused form writes over `gate`, which is therefore made anew for each call.
struct GateAndUp {
  at::Tensor gates, gate, up;
  GateAndUp(std::int64_t rows, std::int64_t columns, at::ScalarType dtype)
      : gates(random({rows, columns}, dtype)),
        gate(at::empty_like(gates)),
        up(random({rows, columns}, dtype, 2)) {}
  std::function<void()> fill() const {
    return [to = gate, from = gates] { to.copy_(from); };
  }
  Roofline roofline() const { return copying(1.5 * 2 * double(gate.nbytes())); }
};

void swiglu_of_tokens(benchmark::State& state, at::ScalarType dtype) {
  const GateAndUp in(state.range(0), state.range(1), dtype);
  const Action ours = [&] { return swiglu(in.gate, in.up); };
  compare(state, {.ours = ours,
                  .eager = composed(ours),
                  .tolerance = rounding(dtype),
                  .roofline = in.roofline(),
                  .prepare = in.fill()});
}

void rotate_heads(benchmark::State& state, at::ScalarType dtype) {
  const std::int64_t tokens = state.range(0), heads = state.range(1), e = state.range(2);
  const at::Tensor x = random({1, tokens, heads, e}, dtype).transpose(1, 2);
  const at::Tensor angles = random({tokens, e / 2});
  const at::Tensor cos = angles.cos(), sin = angles.sin();
  const Action ours = [&] { return rotate_halves(x, cos, sin); };
  compare(state, {ours, composed(ours), rounding(dtype), copying(x, x)});
}

/// Causal, of one sequence. Operations: two products of as many values as a head has, for each
/// token and each that it sees.
void attention_of_tokens(benchmark::State& state, at::ScalarType dtype) {
  const std::int64_t tokens = state.range(0), heads = state.range(1), kv_heads = state.range(2);
  const std::int64_t e = state.range(3);
  auto values = [&](std::int64_t count, std::uint64_t seed) {
    return random({1, tokens, count, e}, dtype, seed).transpose(1, 2);
  };
  const at::Tensor q = values(heads, 1), k = values(kv_heads, 2), v = values(kv_heads, 3);
  if (!can_attend(q, k)) return state.SkipWithError("without AVX-512 it is ATen's attention");
  auto repeated = [&](const at::Tensor& x) { return x.repeat_interleave(heads / kv_heads, 1); };
  const double pairs = 0.5 * static_cast<double>(tokens * (tokens + 1));
  compare(state, {[&] { return causal_attention(q, k, v, {}); },
                  [&] {
                    return at::scaled_dot_product_attention(q, repeated(k), repeated(v), {}, 0.0,
                                                            /*is_causal=*/true);
                  },
                  dtype == at::kFloat ? 1e-4 : 3e-2,
                  multiplying(4 * static_cast<double>(heads * e) * pairs, dtype)});
}

// ---- the loss that a transform is trained on

SubsetTargets subset_targets(const at::Tensor& logits, const at::Tensor& indices) {
  return {.indices = indices.to(at::kInt).unsqueeze(0),
          .logits = logits.gather(1, indices).unsqueeze(0),
          .log_sum_exp = at::logsumexp(logits.to(at::kFloat), {-1}).unsqueeze(0)};
}

/// AAQ's loss and its gradient for a chunk of positions. Eager as the released code does it: the
/// logits of three models over the whole vocabulary in float32, and the log-softmax of each. The
/// indices of both subsets are there beforehand, as distillation_targets() keeps them; so eager is
/// spared the top-k that the released code takes at every step.
void distillation(benchmark::State& state, at::ScalarType dtype) {
  const std::int64_t positions = state.range(0), vocabulary = state.range(1), k = state.range(2);
  auto logits = [&](std::uint64_t seed) {
    return random({positions, vocabulary}, dtype, seed) * 4;
  };
  const at::Tensor student = logits(1), teacher = logits(2), base = logits(3);
  const DistillationOptions options{.top_k = k, .alpha = 0.75, .push_top_k = k};
  const at::Tensor pull = std::get<1>(teacher.topk(k, -1));
  const at::Tensor push = push_indices(teacher, base, options.push_subset, k);
  const Distillation loss({subset_targets(teacher, pull), subset_targets(base, push)}, options);
  double our_loss = 0, eager_loss = 0;
  auto ours = [&] {
    at::Tensor sums = at::zeros({2}, at::kDouble);
    at::Tensor gradient = loss.backward(student, 0, 0, sums);
    our_loss = sums[0].item<double>() - options.alpha * sums[1].item<double>();
    return gradient;
  };
  auto eager = [&] {
    const at::AutoGradMode recording(true);
    const at::Tensor leaf = student.detach().requires_grad_(true);
    auto log_softmax = [](const at::Tensor& x) { return at::log_softmax(x.to(at::kFloat), -1); };
    const at::Tensor log_q = log_softmax(leaf), of_teacher = log_softmax(teacher),
                     of_base = log_softmax(base);
    auto divergence = [&](const at::Tensor& all, const at::Tensor& indices) {
      const at::Tensor log_p = all.gather(1, indices);
      return (log_p.exp() * (log_p - log_q.gather(1, indices))).sum();
    };
    const at::Tensor total =
        divergence(of_teacher, pull) - options.alpha * divergence(of_base, push);
    total.backward();
    eager_loss = total.item<double>();
    return leaf.grad();
  };
  // Eager's logarithms of sums are in float32.
  compare(state, {ours, eager, dtype == at::kFloat ? 1e-4 : 1e-2, copying(student, student),
                  [&](const at::Tensor& a, const at::Tensor& b) {
                    return std::max(difference(a, b), std::abs(our_loss / eager_loss - 1));
                  }});
}

// ---- steps on rows where they are made, beside our own kernels one after the other

/// W4A4KV4's, behind an online Hadamard or not.
RowSteps row_steps(bool hadamard) {
  RowSteps steps;
  if (hadamard) steps.push_back(HadamardRows{});
  steps.push_back(QuantizeRows{{4, 0, false, 1.0}, "x"});
  return steps;
}

/// @param make (steps)
void in_one_pass(
    benchmark::State& state, const RowSteps& steps, const Roofline& roofline,
    const std::function<at::Tensor(const RowSteps&)>& make,
    const std::function<void()>& prepare = [] {}) {
  auto one_by_one = [&] {
    at::Tensor y = make({});
    for (const RowStep& step : steps) y = apply_rows(y, {step});
    return y;
  };
  compare(state, {[&] { return make(steps); }, one_by_one, 0, roofline, difference, true, prepare});
}

void quantized_norm(benchmark::State& state, at::ScalarType dtype) {
  const at::Tensor x = random({state.range(0), state.range(1)}, dtype);
  const at::Tensor weight = random({state.range(1)}, dtype);
  in_one_pass(state, row_steps(false), copying(x, x),
              [&](const RowSteps& then) { return rms_norm(x, weight, 1e-5, then); });
}

void quantized_swiglu(benchmark::State& state, at::ScalarType dtype) {
  const GateAndUp in(state.range(0), state.range(1), dtype);
  in_one_pass(
      state, row_steps(true), in.roofline(),
      [&](const RowSteps& then) { return swiglu(in.gate, in.up, then); }, in.fill());
}

void quantized_rotation(benchmark::State& state, at::ScalarType dtype) {
  const std::int64_t tokens = state.range(0), heads = state.range(1), e = state.range(2);
  const at::Tensor x = random({1, tokens, heads, e}, dtype).transpose(1, 2);
  const at::Tensor angles = random({tokens, e / 2});
  const at::Tensor cos = angles.cos(), sin = angles.sin();
  in_one_pass(state, row_steps(true), copying(x, x),
              [&](const RowSteps& then) { return rotate_halves(x, cos, sin, then); });
}

// ---- a whole pass

/// @param change (steps of a site)
template <class Change>
void change_steps(LlamaModel& model, const Change& change) {
  for (std::size_t layer = 0; layer < model.layers(); ++layer)
    for (int site = 0; site < kActivationSites; ++site)
      change(model.steps(layer, static_cast<ActivationSite>(site)));
}

/// Hides from the model that the steps are on rows: each takes a pass of its own.
void separate_steps(LlamaModel& model) {
  change_steps(model, [](std::vector<SiteStep>& steps) {
    for (SiteStep& step : steps)
      step.action = std::function<at::Tensor(const at::Tensor&)>(
          [alone = RowSteps{std::get<RowStep>(step.action)}](const at::Tensor& x) {
            return apply_rows(x, alone);
          });
  });
}

/// The perplexity pass over a window, W4A4KV4 as ours and unquantized as eager. With `rotated`, the
/// online Hadamards of QuaRot are there too (not in the weights: a pass takes as long). The limit
/// is the unquantized pass's products. The two are not the same function: ours is compared with
/// the same model whose steps are separate, which gives the same bits.
void perplexity_pass(benchmark::State& state, const std::string& file, bool rotated) {
  const c10::InferenceMode inference;
  const auto checkpoint = open_checkpoint(file);
  auto load = [&] { return LlamaModel::load(*checkpoint, at::kBFloat16, at::kCPU); };
  const auto plain = load(), quantized = load();
  Format format;
  format.a = format.a_down = {4, 0, false, 1.0};
  format.a_o = format.k = format.v = {4, plain->config().head_dim, false, 1.0};
  Transform transform;
  transform.online_down = transform.online_qk = rotated;
  auto quantize = [&] {
    change_steps(*quantized, [](std::vector<SiteStep>& steps) { steps.clear(); });
    add_online_steps(*quantized, transform);
    install_quantizers(*quantized, format);
  };
  plain->pack_weights();
  quantized->pack_weights();
  const at::Tensor tokens =
      at::randint(plain->config().vocab_size, {1, state.range(0)},
                  at::detail::createCPUGenerator(1), at::TensorOptions().dtype(at::kLong));
  quantize();
  separate_steps(*quantized);
  const at::Tensor separate = quantized->token_nll(tokens);
  quantize();
  const double weights = static_cast<double>(parameter_count(plain->config()));
  compare(state,
          {[&] { return quantized->token_nll(tokens); }, [&] { return plain->token_nll(tokens); },
           0, multiplying(2 * weights * static_cast<double>(state.range(0)), at::kBFloat16),
           [&](const at::Tensor& ours, const at::Tensor& unquantized) {
             const bool another = at::isfinite(unquantized).all().item<bool>() &&
                                  !at::equal(ours, unquantized);  // so that steps are there at all
             return another ? difference(ours, separate) : INFINITY;
           }});
}

benchmark::internal::Benchmark* in_turns(benchmark::internal::Benchmark* benchmark) {
  return benchmark->Iterations(kTurns)->UseManualTime()->Unit(benchmark::kMillisecond);
}

void add_benchmarks(const std::string& model) {
  using benchmark::RegisterBenchmark;
  for (const auto& [dtype, name] : {std::pair(at::kFloat, std::string("fp32")),
                                    std::pair(at::kBFloat16, std::string("bf16"))}) {
    in_turns(
        RegisterBenchmark(("fake quantization " + name).c_str(), fake_quantize_per_token, dtype))
        ->Args({4096, 4096, 4096})
        ->Args({4096, 4096, 128})
        ->Args({2048, 1536, 1536})
        ->Args({2048, 576, 576})
        ->Args({1, 4096, 4096});
    in_turns(RegisterBenchmark(("fake quantization of weights " + name).c_str(), fake_quantize_rows,
                               dtype))
        ->Args({4096, 4096});
    in_turns(RegisterBenchmark(("fake quantization and its gradient " + name).c_str(),
                               straight_through, dtype))
        ->Args({4096, 4096, 4096})
        ->Args({2048, 576, 576})
        ->Args({16, 64, 64});
    in_turns(RegisterBenchmark(("Hadamard " + name).c_str(), hadamard, dtype))
        ->Args({4096, 14336})
        ->Args({2048, 1536})
        ->Args({18432, 64});
    in_turns(RegisterBenchmark(("token NLL " + name).c_str(), token_nll_of_logits, dtype))
        ->Args({256, 49152});
    in_turns(RegisterBenchmark(("RMSNorm " + name).c_str(), rms_norm_of_tokens, dtype))
        ->Args({2048, 576})
        ->Args({2048, 4096});
    in_turns(RegisterBenchmark(("SwiGLU " + name).c_str(), swiglu_of_tokens, dtype))
        ->Args({2048, 1536})
        ->Args({2048, 14336});
    in_turns(RegisterBenchmark(("RoPE " + name).c_str(), rotate_heads, dtype))
        ->Args({2048, 9, 64})
        ->Args({2048, 32, 128});
    in_turns(RegisterBenchmark(("causal attention " + name).c_str(), attention_of_tokens, dtype))
        ->Args({2048, 9, 3, 64})
        ->Args({1024, 32, 8, 128});
    in_turns(
        RegisterBenchmark(("AAQ's loss and its gradient " + name).c_str(), distillation, dtype))
        ->Args({256, 49152, 500});
    in_turns(RegisterBenchmark(("RMSNorm and quantization in one pass " + name).c_str(),
                               quantized_norm, dtype))
        ->Args({2048, 576})
        ->Args({2048, 4096})
        ->Args({1, 4096});
    in_turns(
        RegisterBenchmark(("SwiGLU with Hadamard and quantization in one pass " + name).c_str(),
                          quantized_swiglu, dtype))
        ->Args({2048, 1536})
        ->Args({2048, 14336})
        ->Args({1, 14336});
    in_turns(RegisterBenchmark(("RoPE with Hadamard and quantization in one pass " + name).c_str(),
                               quantized_rotation, dtype))
        ->Args({2048, 3, 64})
        ->Args({2048, 8, 128})
        ->Args({1, 8, 128});
  }
  in_turns(RegisterBenchmark("MSE clipping fp32", mse_clip))->Args({1024, 4096})->Args({576, 1536});
  in_turns(RegisterBenchmark("GPTQ fp32", gptq_columns))
      ->Args({4096, 128})  // a block: the column loop alone, without products behind it
      ->Args({2048, 2048})
      ->Args({576, 1536})
      ->Args({64, 64});
  if (model.empty()) return;
  for (bool rotated : {false, true})
    in_turns(
        RegisterBenchmark(rotated ? "W4A4KV4 pass with online Hadamards bf16" : "W4A4KV4 pass bf16",
                          perplexity_pass, model, rotated))
        ->Args({2048});
}

}  // namespace
}  // namespace harness

int main(int count, char** arguments) {
  harness::reuse_freed_memory();
  benchmark::Initialize(&count, arguments);
  std::string model;
  if (count == 2 && std::strncmp(arguments[1], "--model=", 8) == 0) {
    model = arguments[1] + 8;
    count = 1;
  }
  if (benchmark::ReportUnrecognizedArguments(count, arguments)) return 2;
  harness::add_benchmarks(model);
  const at::NoGradGuard no_gradients;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
