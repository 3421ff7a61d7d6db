// What an 8B model costs on a GPU, with random weights that are made there: one JSON line on the
// standard output.
//   gpu_bench rates | kernels | perplexity | aaq | gptq
//   gpu_bench WHAT --tiny      the same on the CPU with a tiny model: shows that it runs
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "harness/core/memory.h"
#include "harness/core/provenance.h"
#include "harness/kernels/divergence.h"
#include "harness/kernels/hadamard.h"
#include "harness/kernels/ops.h"
#include "harness/kernels/straight_through.h"
#include "harness/kernels/transformer_ops.h"
#include "harness/model/weight_memory.h"
#include "harness/plugin/plugins.h"
#include "harness/quant/sites.h"
#include "harness/quant/transform_trainer.h"

namespace harness {
namespace {

using Clock = std::chrono::steady_clock;

/// The shape that is measured, and how much of it.
struct Scale {
  at::Device device;
  LlamaConfig config;
  std::int64_t length, batch, steps, windows, calibration;
};

Scale full() {
  LlamaConfig config;  // Llama-3.1-8B
  config.hidden_size = 4096;
  config.intermediate_size = 14336;
  config.num_hidden_layers = 32;
  config.num_attention_heads = 32;
  config.num_key_value_heads = 8;
  config.head_dim = 128;
  config.vocab_size = 128256;
  config.max_position_embeddings = 8192;
  config.tie_word_embeddings = false;
  return {at::kCUDA, config, 2048, 4, 100, 32, 128};
}

Scale tiny() {
  LlamaConfig config;
  config.hidden_size = 64;
  config.intermediate_size = 128;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 16;
  config.vocab_size = 256;
  config.max_position_embeddings = 128;
  config.tie_word_embeddings = false;
  return {at::kCPU, config, 32, 2, 3, 3, 8};
}

/// Weights that are drawn where they are used, so that nothing travels.
class RandomCheckpoint : public Checkpoint {
 public:
  RandomCheckpoint(const Scale& scale, std::int64_t seed) : scale_(scale), seed_(seed) {
    for (const auto& [name, shape] : expected_tensors(scale.config)) shapes_[name] = shape;
  }
  const LlamaConfig& config() const override { return scale_.config; }
  bool contains(const std::string& name) const override { return shapes_.count(name) > 0; }
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, shape] : shapes_) names.push_back(name);
    return names;
  }
  std::vector<std::int64_t> shape(const std::string& name) const override {
    return shapes_.at(name);
  }
  at::Tensor load(const std::string& name) const override {
    const std::vector<std::int64_t>& shape = shapes_.at(name);
    const auto options = at::TensorOptions().dtype(at::kBFloat16).device(scale_.device);
    if (shape.size() == 1) return at::ones(shape, options);
    at::manual_seed(static_cast<std::uint64_t>(seed_) * 1000003 + std::hash<std::string>()(name));
    return at::randn(shape, options) / std::sqrt(static_cast<double>(shape.back()));
  }
  std::string digest() const override { return fmt::format("random {}", seed_); }
  std::string scheme() const override { return "random bf16"; }

 private:
  const Scale& scale_;
  std::int64_t seed_;
  std::map<std::string, std::vector<std::int64_t>> shapes_;
};

std::unique_ptr<LlamaModel> random_model(const Scale& scale, std::int64_t seed) {
  return LlamaModel::load(RandomCheckpoint(scale, seed), at::kBFloat16, scale.device);
}

at::Tensor random_tokens(const Scale& scale, std::int64_t sequences) {
  return at::randint(scale.config.vocab_size, {sequences, scale.length},
                     at::detail::createCPUGenerator(1), at::kLong);
}

void finish(const Scale& scale) {
  if (!scale.device.is_cuda()) return;
  const c10::impl::DeviceGuardImplInterface* guard = c10::impl::getDeviceGuardImpl(at::kCUDA);
  guard->synchronizeDevice(guard->getDevice().index());
}

double peak_gb(const Scale& scale) {
  if (!scale.device.is_cuda()) return static_cast<double>(peak_memory_bytes()) / 1e9;
  const auto stats = c10::getDeviceAllocator(at::kCUDA)->getDeviceStats(0);
  return static_cast<double>(stats.reserved_bytes[0].peak) / 1e9;
}

class Timer {
 public:
  explicit Timer(const Scale& scale) : scale_(scale) {
    finish(scale_);
    start_ = Clock::now();
  }
  double seconds() const {
    finish(scale_);
    return std::chrono::duration<double>(Clock::now() - start_).count();
  }

 private:
  const Scale& scale_;
  Clock::time_point start_;
};

/// W4A4KV4 with o in groups of a head's size at least.
Format w4a4kv4() {
  Format format;
  for (QuantSpec* spec : {&format.w, &format.a, &format.a_o, &format.a_down, &format.k, &format.v})
    spec->bits = 4;
  return format;
}

/// What the machine itself can do in bfloat16, in a second: operations of a matrix product and
/// bytes of a copy, read and written.
struct Rates {
  double product, copy;
};

Rates measured_rates(const Scale& scale) {
  const std::int64_t n = scale.device.is_cuda() ? 8192 : 256;
  const auto options = at::TensorOptions().dtype(at::kBFloat16).device(scale.device);
  const at::Tensor a = at::randn({n, n}, options), b = at::randn({n, n}, options);
  at::Tensor copy = at::empty({n, n}, options);
  constexpr int kTimes = 50;
  at::matmul(a, b);
  copy.copy_(a);
  const Timer products(scale);
  for (int i = 0; i < kTimes; ++i) at::matmul(a, b);
  const double product = products.seconds() / kTimes;
  const Timer copies(scale);
  for (int i = 0; i < kTimes; ++i) copy.copy_(a);
  const double copied = copies.seconds() / kTimes;
  const double side = static_cast<double>(n);
  return {2 * side * side * side / product, 2 * static_cast<double>(a.nbytes()) / copied};
}

void rates(const Scale& scale) {
  const Rates found = measured_rates(scale);
  fmt::print("{{\"what\": \"rates\", \"bf16_tflops\": {:.1f}, \"copy_tb_per_second\": {:.3f}}}\n",
             1e-12 * found.product, 1e-12 * found.copy);
}

/// A kernel, what it must move at least, and what its result of some rows is compared with.
struct KernelCase {
  std::string name;
  std::function<at::Tensor(const at::Tensor&)> run;  // of x
  at::Tensor x;
  double tensors;  // of x's size that are read or written once
  // The same to the bit, on the same device; none: the CPU's result, up to rounding.
  std::function<at::Tensor(const at::Tensor&)> same = {};
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// The share of the time that a copy of as many bytes takes in the same turn: median of 5 turns.
double share_of_copy(const Scale& scale, const KernelCase& kernel) {
  constexpr int kTurns = 5, kTimes = 10;
  at::Tensor copy = at::empty_like(kernel.x);
  auto seconds = [&](auto&& action) {
    const Timer timer(scale);
    for (int i = 0; i < kTimes; ++i) action();
    return timer.seconds();
  };
  std::vector<double> shares;
  for (int turn = 0; turn <= kTurns; ++turn) {
    const double copying = seconds([&] { copy.copy_(kernel.x); });
    const double running = seconds([&] { kernel.run(kernel.x); });
    if (turn > 0) shares.push_back(copying * kernel.tensors / 2 / running);  // the first warms up
  }
  return median(shares);
}

/// Runs a case on a few rows beside what they are compared with.
void check_kernel(const KernelCase& kernel, at::ScalarType dtype) {
  const at::Tensor rows = kernel.x.slice(0, 0, 8);
  const at::Tensor expected =
      (kernel.same ? kernel.same(rows) : kernel.run(rows.cpu())).cpu().to(at::kFloat);
  const double difference =
      (kernel.run(rows).cpu().to(at::kFloat) - expected).abs().max().item<double>();
  const double allowed = kernel.same ? 0
                                     : (dtype == at::kFloat ? 1e-5 : 1e-2) *
                                           std::max(1.0, expected.abs().max().item<double>());
  if (!(difference <= allowed))
    throw Error(fmt::format("kernel {}", kernel.name),
                fmt::format("a difference of {} from {}", difference,
                            kernel.same ? "the steps one after the other" : "the CPU"),
                fmt::format("at most {}", allowed));
}

/// What makes rows, with steps done to them where they are made.
struct FusedCase {
  std::string name;
  std::function<at::Tensor(const at::Tensor&, const RowSteps&)> run;
  at::Tensor x;
  double tensors;
  RowSteps steps;

  // A last digit of what CUDA makes otherwise than the CPU moves some values over a step of the
  // quantizer: so these are compared with the device's own kernels.
  KernelCase kernel() const {
    return {name, [this](const at::Tensor& v) { return run(v, steps); }, x, tensors,
            [this](const at::Tensor& v) {
              at::Tensor y = run(v, {});
              for (const RowStep& step : steps) y = apply_rows(y, {step});
              return y;
            }};
  }
};

/// Each kernel beside a copy. Before it is timed its first rows are compared.
void kernels(const Scale& scale) {
  const bool large = scale.device.is_cuda();
  const std::int64_t tokens = large ? 32768 : 64, hidden = scale.config.hidden_size;
  const std::int64_t inner = scale.config.intermediate_size, heads = hidden / scale.config.head_dim;
  const std::int64_t vocabulary = scale.config.vocab_size;
  const QuantSpec spec{4, 0, false, 1.0}, grouped{4, scale.config.head_dim, false, 1.0};
  const QuantSpec of_weight{4, 0, true, 1.0};
  const at::Tensor targets = at::randint(vocabulary, {large ? 1024 : 64},
                                         at::TensorOptions(at::kLong).device(scale.device));
  const RowSteps quantize = {QuantizeRows{spec, "x"}};
  const RowSteps rotate_and_quantize = {HadamardRows{}, quantize[0]};
  std::string shares;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const auto options = at::TensorOptions().dtype(dtype).device(scale.device);
    const at::Tensor x = at::randn({tokens, hidden}, options);
    const at::Tensor wide = at::randn({tokens, inner}, options);
    const at::Tensor logits = at::randn({targets.size(0), vocabulary}, options);
    const at::Tensor angles =
        at::randn({tokens, scale.config.head_dim / 2}, options.dtype(at::kFloat));
    const at::Tensor weight = at::randn({hidden}, options);
    auto hadamard = [](const at::Tensor& v) { return hadamard_transform(v); };
    auto norm = [&](const at::Tensor& v, const RowSteps& then) {
      return rms_norm(v, weight.to(v.device()), 1e-5, then);
    };
    // silu(gate) * gate, so that one tensor is the input; it is copied since it is overwritten.
    auto product = [](const at::Tensor& v, const RowSteps& then) {
      return swiglu(v.clone(), v, then);
    };
    auto rotation = [&](const at::Tensor& v, const RowSteps& then) {
      const at::Tensor by = angles.slice(0, 0, v.size(0)).to(v.device());
      return rotate_halves(v.view({1, v.size(0), heads, -1}).transpose(1, 2), by, by, then);
    };
    // Forward and backward: x is read twice, the gradient once, values and gradient are written.
    auto gradient = [&](const at::Tensor& v) {
      const at::AutoGradMode recording(true);
      const at::Tensor leaf = v.detach().set_requires_grad(true);
      return torch::autograd::grad({fake_quantize_straight_through(leaf, spec, "x")}, {leaf},
                                   {v})[0];
    };
    auto nll = [&](const at::Tensor& v) {
      return token_nll(v, targets.slice(0, 0, v.size(0)).to(v.device()));
    };
    // As AAQ's released code has it, with one p in both terms: any will do.
    const at::Tensor subset = std::get<1>(logits.topk(std::min<std::int64_t>(500, vocabulary), -1));
    const at::Tensor aim = at::randn(subset.sizes(), options);
    auto divergence = [&](const at::Tensor& v) {
      DivergenceFrom from{.indices = subset.slice(0, 0, v.size(0)).to(v.device()),
                          .logits = aim.slice(0, 0, v.size(0)).to(v.device())};
      from.log_sum_exp = at::logsumexp(from.logits.to(at::kFloat), {-1});
      DivergenceFrom away = from;
      away.weight = -0.75;
      at::Tensor sums = at::zeros({2}, v.options().dtype(at::kDouble));
      return divergence_gradient(v, {from, away}, /*renormalise=*/false, sums);
    };
    auto codes = [&](const at::Tensor& v) {
      return quantize_weight(v, of_weight, true, "w").codes;
    };
    const std::vector<FusedCase> fused = {
        {"rms_norm_quantize", norm, x, 2, quantize},
        {"swiglu_hadamard_quantize_and_copy", product, wide, 5, rotate_and_quantize},
        {"rotate_hadamard_quantize", rotation, x, 2, rotate_and_quantize}};
    std::vector<KernelCase> cases = {
        {"fake_quantize", [&](const at::Tensor& v) { return fake_quantize(v, spec, "x"); }, x, 2},
        {"fake_quantize_groups",
         [&](const at::Tensor& v) { return fake_quantize(v, grouped, "x"); }, x, 2},
        {"straight_through", gradient, x, 5},
        // Codes of a byte are written. Arithmetic, not memory, is the limit: 80 candidates a row.
        {"quantize_weight_mse", codes, x.slice(0, 0, hidden),
         1 + 1.0 / static_cast<double>(x.element_size())},
        {"hadamard", hadamard, x, 2},
        {"hadamard_mlp", hadamard, wide, 2},
        {"hadamard_heads", hadamard, x.view({-1, scale.config.head_dim}), 2},
        {"rms_norm", [&](const at::Tensor& v) { return norm(v, {}); }, x, 2},
        {"swiglu_and_copy", [&](const at::Tensor& v) { return product(v, {}); }, wide, 5},
        {"rotate", [&](const at::Tensor& v) { return rotation(v, {}); }, x, 2},
        {"token_nll", nll, logits, 1},
        {"distillation_loss", divergence, logits, 2}};
    for (const FusedCase& each : fused) cases.push_back(each.kernel());
    for (const KernelCase& each : cases) {
      const at::AutoGradMode recording(false);
      check_kernel(each, dtype);
      shares += fmt::format("{}\"{}_{}\": {:.2f}", shares.empty() ? "" : ", ", each.name,
                            dtype == at::kFloat ? "fp32" : "bf16", share_of_copy(scale, each));
    }
  }
  fmt::print("{{\"what\": \"kernels\", \"tokens\": {}, \"share_of_copy\": {{{}}}}}\n", tokens,
             shares);
}

/// Operations of a token's products in a window of so many: those with weights, and attention's
/// with the half of the window that a token sees on average. The embedding is looked up.
double operations_per_token(const LlamaConfig& config, std::int64_t window) {
  const auto layers = static_cast<double>(config.num_hidden_layers);
  const auto head = static_cast<double>(config.vocab_size * config.hidden_size);
  const auto weights = layers * static_cast<double>(block_parameter_count(config)) + head;
  const auto values = static_cast<double>(config.num_attention_heads * config.head_dim);
  return 2 * weights + layers * 4 * values * 0.5 * static_cast<double>(window + 1);
}

/// tokens/s of a perplexity pass as loaded and under W4A4KV4, and their shares of the rate of a
/// matrix product that is measured right before each.
void perplexity(const Scale& scale) {
  const c10::InferenceMode no_gradients;
  const at::Tensor tokens = random_tokens(scale, scale.windows);
  struct Speed {
    double tokens_per_second, share;
  };
  auto speed = [&](const LlamaModel& model) {
    model.token_nll(tokens.slice(0, 0, 1));
    const double rate = measured_rates(scale).product;
    const Timer timer(scale);
    for (std::int64_t i = 0; i < scale.windows; ++i) model.token_nll(tokens.slice(0, i, i + 1));
    const double found = static_cast<double>(scale.windows * scale.length) / timer.seconds();
    return Speed{found, found * operations_per_token(scale.config, scale.length) / rate};
  };
  const auto model = random_model(scale, 0);
  const Speed plain = speed(*model);
  install_quantizers(*model, w4a4kv4());
  const Speed quantized = speed(*model);
  fmt::print(
      "{{\"what\": \"perplexity\", \"tokens_per_second\": {:.0f}, \"share_of_matrix_rate\": "
      "{:.3f}, \"w4a4kv4_tokens_per_second\": {:.0f}, \"w4a4kv4_share_of_matrix_rate\": {:.3f}, "
      "\"windows\": {}, \"length\": {}, \"peak_gb\": {:.2f}}}\n",
      plain.tokens_per_second, plain.share, quantized.tokens_per_second, quantized.share,
      scale.windows, scale.length, peak_gb(scale));
}

/// Steps of AAQ, as many of them as fit in the time.
void aaq(const Scale& scale) {
  constexpr double kSeconds = 400;
  const at::Tensor tokens = random_tokens(scale, scale.batch * scale.steps);
  const DistillationOptions options{.top_k = std::min<std::int64_t>(500, scale.config.vocab_size),
                                    .renormalise = true,
                                    .alpha = 0.75,
                                    .push_top_k = 100};
  const Timer all(scale);
  const auto student = random_model(scale, 0);
  const Timer making(scale);
  const DistillationTargets targets = [&] {
    const auto teacher = random_model(scale, 0), base = random_model(scale, 1);
    return distillation_targets(tokens, *teacher, base.get(), options, no_progress());
  }();
  const double targets_seconds = making.seconds();
  TransformTraining training;
  training.rotation.steps = scale.steps;
  training.rotation.batch = scale.batch;
  const Format format = w4a4kv4();
  struct Enough : std::exception {};
  std::int64_t done = 0;
  TransformHooks hooks;
  hooks.curve = [&](const std::string& series, std::int64_t step, double) {
    if (series != "lr") return;
    done = step;
    if (all.seconds() > kSeconds) throw Enough{};
  };
  const Transform start = initial_transform(*student, training.rotation, format, 0);
  const Timer timer(scale);
  try {
    train_transform(*student, tokens, format, start, Distillation(targets, options), training,
                    hooks);
  } catch (const Enough&) {
  }
  fmt::print(
      "{{\"what\": \"aaq\", \"steps\": {}, \"seconds_per_step\": {:.3f}, \"targets_seconds\": "
      "{:.1f}, \"batch\": {}, \"length\": {}, \"peak_gb\": {:.2f}}}\n",
      done, timer.seconds() / static_cast<double>(done), targets_seconds, scale.batch, scale.length,
      peak_gb(scale));
}

class NoReferences : public References {
 public:
  const Model& model(Role) override { throw Error("gpu_bench", "gptq asked for another model"); }
  const LlamaModel& llama(Role) override {
    throw Error("gpu_bench", "gptq asked for another model");
  }
};

class RandomCalibration : public Calibration {
 public:
  explicit RandomCalibration(at::Tensor tokens) : tokens_(std::move(tokens)) {}
  const at::Tensor& tokens() override { return tokens_; }
  std::string digest() override { return "random"; }

 private:
  at::Tensor tokens_;
};

void gptq(const Scale& scale) {
  Plugins plugins;
  register_all_plugins(plugins);
  Problems problems;
  const auto method = plugins.methods.get("gptq").build(Value(Value::Table()), problems);
  problems.throw_if_any();
  const auto model = random_model(scale, 0);
  NoReferences references;
  RandomCalibration calibration(random_tokens(scale, scale.calibration));
  Format format;
  format.w.bits = 4;
  MethodContext context{*model, format, references, &calibration, 0, no_progress()};
  const Timer timer(scale);
  method->apply(context);
  fmt::print(
      "{{\"what\": \"gptq\", \"seconds\": {:.1f}, \"sequences\": {}, \"length\": {}, \"peak_gb\": "
      "{:.2f}}}\n",
      timer.seconds(), scale.calibration, scale.length, peak_gb(scale));
}

}  // namespace
}  // namespace harness

int main(int count, char** arguments) {
  using namespace harness;
  const std::string what = count > 1 ? arguments[1] : "";
  const Scale scale = count > 2 && std::string(arguments[2]) == "--tiny" ? tiny() : full();
  try {
    if (what == "rates") {
      rates(scale);
    } else if (what == "kernels") {
      kernels(scale);
    } else if (what == "perplexity") {
      perplexity(scale);
    } else if (what == "aaq") {
      aaq(scale);
    } else if (what == "gptq") {
      gptq(scale);
    } else {
      fmt::print(stderr, "gpu_bench rates | kernels | perplexity | aaq | gptq [--tiny]\n");
      return 2;
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
