#include "harness/quant/transform_trainer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <nlohmann/json.hpp>
#include <numeric>

#include "harness/kernels/ops.h"
#include "harness/kernels/transformer_ops.h"
#include "harness/model/json.h"
#include "harness/model/kept_tensors.h"
#include "harness/quant/sites.h"
#include "harness/quant/stiefel.h"
#include "harness/quant/transform_init.h"

namespace harness {
namespace {

using nlohmann::json;

constexpr std::int64_t kStabilizeEvery = 10;  // steps between two returns to the manifold
constexpr double kSmallestScale = 0.01;       // S stays positive
constexpr std::size_t kWatchedSteps = 5;      // over which what is watched is averaged
constexpr double kSmallestPull = 0.02;   // nats: below, a start says nothing about what is large
constexpr double kGradientGrowth = 1e3;  // over the first step's

bool any_active(const Format& format, const LlamaConfig& config,
                std::initializer_list<ActivationSite> places) {
  for (std::int64_t layer = 0; layer < config.num_hidden_layers; ++layer)
    for (ActivationSite place : places)
      if (activation_spec(format, config, place, layer).active()) return true;
  return false;
}

/// A trained tensor: R (orthogonal matrices) or S, of one layer or of all of them.
struct Parameter {
  std::string name;
  bool rotation;
  at::Tensor values;               // [...] of r_res, else [layers, ...]
  std::vector<at::Tensor> leaves;  // the same memory, one a layer: what has the gradients
  AdamMoments moments;
};

/// What is trained, and the transform that it makes.
class Parameters {
 public:
  Parameters(LlamaModel& model, const Format& format, const Transform& start,
             const TransformTraining& training, bool quantize_weights)
      : config_(model.config()), fixed_(start), free_qk_(training.smoothing.s_qk == "free") {
    const at::ScalarType wide = model.dtype() == at::kDouble ? at::kDouble : at::kFloat;
    const at::TensorOptions options = at::TensorOptions(wide).device(model.device());
    const auto layers = config_.num_hidden_layers, kv_heads = config_.num_key_value_heads;
    const auto e = config_.head_dim;
    auto wanted = [&](std::initializer_list<ActivationSite> places) {
      return quantize_weights || any_active(format, config_, places);
    };
    // The fixed ones are constants of the graph.
    fixed_.r_res = start.r_res.to(options);
    for (at::Tensor& r : fixed_.r_ov) r = r.to(options);
    if (wanted({ActivationSite::attention_in, ActivationSite::mlp_in}))
      add("r_res", true, fixed_.r_res.clone(), false);
    if (wanted({ActivationSite::v, ActivationSite::o_in}))
      add("r_ov", true, at::stack(fixed_.r_ov), true);
    if (!training.smoothing.smoothing) return;
    auto add_scale = [&](const char* name, std::vector<std::int64_t> shape) {
      shape.insert(shape.begin(), layers);
      add(name, false, at::ones(shape, options), true);
    };
    if (wanted({ActivationSite::attention_in})) add_scale("s_norm_attn", {config_.hidden_size});
    if (wanted({ActivationSite::mlp_in})) add_scale("s_norm_mlp", {config_.hidden_size});
    if (wanted({ActivationSite::down_in})) add_scale("s_up_down", {config_.intermediate_size});
    if (wanted({ActivationSite::v, ActivationSite::o_in})) add_scale("s_ov", {kv_heads * e});
    // A row's own scale makes no difference to the weight quantizer.
    if (training.smoothing.s_qk != "none" && any_active(format, config_, {ActivationSite::k}))
      add_scale("s_qk", {config_.qk_norm ? 1 : kv_heads, free_qk_ ? e : e / 2});
  }

  bool empty() const { return all_.empty(); }
  std::vector<Parameter>& all() { return all_; }
  const std::vector<Parameter>& all() const { return all_; }

  /// The transform, for one layer only where it is given.
  Transform transform(std::optional<std::size_t> only = std::nullopt) const {
    Transform t = fixed_;
    for (const Parameter& parameter : all_) {
      auto fill = [&](std::vector<at::Tensor>& per_layer) {
        per_layer.assign(parameter.leaves.size(), {});
        for (std::size_t layer = 0; layer < per_layer.size(); ++layer)
          if (!only || *only == layer) per_layer[layer] = parameter.leaves[layer];
      };
      if (parameter.name == "r_res") t.r_res = parameter.leaves[0];
      if (parameter.name == "r_ov") fill(t.r_ov);
      if (parameter.name == "s_norm_attn") fill(t.s_norm_attn);
      if (parameter.name == "s_norm_mlp") fill(t.s_norm_mlp);
      if (parameter.name == "s_up_down") fill(t.s_up_down);
      if (parameter.name == "s_ov") fill(t.s_ov);
      if (parameter.name == "s_qk") {
        fill(t.s_qk);
        for (at::Tensor& s : t.s_qk)
          if (s.defined()) s = (free_qk_ ? s : at::cat({s, s}, -1)).flatten();
      }
    }
    return t;
  }

 private:
  void add(const std::string& name, bool rotation, const at::Tensor& values, bool per_layer) {
    Parameter p{
        name, rotation, values, {}, rotation ? stiefel_moments(values) : adam_moments(values)};
    const std::int64_t leaves = per_layer ? values.size(0) : 1;
    for (std::int64_t i = 0; i < leaves; ++i)
      p.leaves.push_back((per_layer ? values[i] : values).detach().set_requires_grad(true));
    all_.push_back(std::move(p));
  }

  const LlamaConfig& config_;
  Transform fixed_;
  bool free_qk_;
  std::vector<Parameter> all_;
};

/// A mean over the last steps that must not pass a limit.
class Watch {
 public:
  bool exceeds(double value, double limit) {
    last_.push_back(value);
    if (last_.size() > kWatchedSteps) last_.pop_front();
    return last_.size() == kWatchedSteps && mean() > limit;
  }
  double mean() const {
    return std::accumulate(last_.begin(), last_.end(), 0.0) / static_cast<double>(last_.size());
  }

 private:
  std::deque<double> last_;
};

class Training {
 public:
  Training(LlamaModel& model, const at::Tensor& tokens, const Format& format,
           const Transform& start, const TrainingLoss& loss, const TransformTraining& training,
           const TransformHooks& hooks)
      : model_(model),
        tokens_(tokens),
        format_(format),
        loss_(loss),
        training_(training),
        hooks_(hooks),
        quantize_weights_(trains_weight_quant(training.rotation, format)),
        parameters_(model, format, start, training, quantize_weights_),
        terms_(loss.terms()) {
    if (parameters_.empty())
      throw Error(hooks.what, "nothing is quantized while training",
                  "activations, K, V or, with train_weight_quant, weights that are quantized");
    for (std::size_t layer = 0; layer < model.layers(); ++layer)
      for (int site = 0; site < kActivationSites; ++site)
        if (const auto& steps = model.steps(layer, static_cast<ActivationSite>(site));
            !steps.empty())
          throw Error(hooks.what,
                      fmt::format("a step \"{}\" stands in the model already", steps.front().name),
                      "a model that no other transform has changed",
                      "let one transform be the first method of the run");
  }

  TrainedTransform run() {
    std::int64_t step = read_state();
    while (step < training_.rotation.steps) {
      check_interrupted();
      train_step(++step);
      write_state(step);
      if (hooks_.progress)
        hooks_.progress->update(hooks_.what + ", steps", static_cast<double>(step),
                                static_cast<double>(training_.rotation.steps));
    }
    return result();
  }

 private:
  /// @param step counted from 1
  void train_step(std::int64_t step) {
    const RotationTraining& options = training_.rotation;
    const auto terms = static_cast<std::int64_t>(terms_.size());
    // The terms, and behind them the squares of the gradient: read from the device once a step.
    at::Tensor found =
        at::zeros({terms + 1}, at::TensorOptions(at::kDouble).device(model_.device()));
    at::Tensor on_device = found.slice(0, 0, terms), squares = found[terms];
    for (Parameter& p : parameters_.all())
      for (at::Tensor& leaf : p.leaves) leaf.mutable_grad().reset();
    try {
      for (std::int64_t i = 0; i < options.accumulate; ++i)
        backward(batch((step - 1) * options.accumulate + i), on_device);
    } catch (const NotFinite& overflow) {
      if (step == 1) throw;  // the model or the text, not the training
      throw TransformDiverged(hooks_.what, step, overflow.what());
    }
    const double count =
        static_cast<double>(options.accumulate * options.batch * loss_.positions(tokens_.size(1)));

    const at::NoGradGuard no_gradients;
    std::vector<at::Tensor> gradients;
    for (const Parameter& p : parameters_.all()) {
      gradients.push_back(gradient_of(p).div_(count));
      squares.add_(gradients.back().square().sum(at::kDouble));
    }
    const at::Tensor here = found.cpu();
    const double* read = here.const_data_ptr<double>();
    std::vector<double> sums(read, read + terms);
    double total = 0;
    for (std::size_t i = 0; i < terms_.size(); ++i) {
      sums[i] /= count;
      total += terms_[i].weight * sums[i];
    }
    const double norm = std::sqrt(read[terms]);
    // HF's Trainer: full at the first step, and a step's share less with each.
    const double left = 1 - static_cast<double>(step - 1) / static_cast<double>(options.steps);
    point("loss", step, total);
    for (std::size_t i = 0; i < terms_.size(); ++i) point(terms_[i].name, step, sums[i]);
    point("gradient_norm", step, norm);
    point("lr", step, options.lr_rotation * left);
    watch(step, total, sums[0], norm);

    const double shrink = options.clip > 0 ? std::min(1.0, options.clip / (norm + 1e-6)) : 1.0;
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      Parameter& p = parameters_.all()[i];
      const at::Tensor gradient = gradients[i].mul_(shrink);
      if (p.rotation) {
        stiefel_adam_step(p.values, p.moments, gradient, options.lr_rotation * left, step);
        if (step % kStabilizeEvery == 0) {
          point("orthogonality " + p.name, step, orthogonality_error(p.values));
          stiefel_stabilize(p.values, p.moments);
        }
      } else {
        adam_step(p.values, p.moments, gradient, training_.smoothing.lr_scale * left, step);
        p.values.clamp_min_(kSmallestScale);
      }
    }
  }

  static at::Tensor gradient_of(const Parameter& p) {
    std::vector<at::Tensor> parts;
    for (const at::Tensor& leaf : p.leaves)
      parts.push_back(leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf));
    return p.leaves[0].sizes() == p.values.sizes() ? parts[0] : at::stack(parts);
  }

  /// The sequences of a batch.
  at::Tensor batch(std::int64_t index) const {
    const std::int64_t size = training_.rotation.batch;
    return at::arange(index * size, (index + 1) * size, at::kLong).remainder(tokens_.size(0));
  }

  at::Tensor apply_block(const LlamaBlock& block, std::size_t layer, const at::Tensor& x,
                         const Rope& rope) const {
    return model_.apply_block(
        transformed_block(block, model_.config(), layer, parameters_.transform(layer), format_,
                          rope, quantize_weights_),
        x, rope);
  }

  /// Adds the terms and the parameters' gradients of all positions of some sequences. A block's
  /// graph, which holds its weights, lives only while the block is visited; its input is kept. The
  /// forward pass records a graph too and drops it, so that both passes run the same kernels.
  void backward(const at::Tensor& sequences, at::Tensor& sums) {
    const at::AutoGradMode with_gradients(true);
    const Rope rope = model_.rope(tokens_.size(1));
    at::Tensor x = model_.embed(tokens_.index_select(0, sequences));
    std::vector<at::Tensor> inputs;
    bool learns = false;
    for (std::size_t layer = 0; layer < model_.layers(); ++layer) {
      check_interrupted();
      inputs.push_back(x.detach().set_requires_grad(learns));
      model_.read_block(layer, [&](const LlamaBlock& block) {
        const at::Tensor output = apply_block(block, layer, inputs.back(), rope);
        learns = output.requires_grad();
        x = output.detach();
      });
    }
    at::Tensor gradient = backward_head(x.detach(), sequences, sums);
    x.reset();
    for (std::size_t layer = model_.layers(); layer-- > 0 && gradient.defined();) {
      check_interrupted();
      model_.read_block(layer, [&](const LlamaBlock& block) {
        const at::Tensor output = apply_block(block, layer, inputs[layer], rope);
        if (output.requires_grad()) output.backward(gradient);
        gradient = inputs[layer].grad();
      });
      inputs[layer].reset();
    }
  }

  /// From the last block's output to the loss and back to it, a chunk of logits at a time.
  at::Tensor backward_head(const at::Tensor& x, const at::Tensor& sequences, at::Tensor& sums) {
    const LlamaConfig& config = model_.config();
    const at::Tensor last = x.set_requires_grad(true);
    const at::Tensor states = rms_norm(last, model_.final_norm(), config.rms_norm_eps);
    const at::Tensor fixed = states.detach();
    const at::Tensor gradient = at::zeros_like(fixed);
    const std::int64_t positions = loss_.positions(tokens_.size(1));
    const at::ScalarType wide = model_.dtype() == at::kDouble ? at::kDouble : at::kFloat;
    const std::int64_t chunk = nll_chunk_tokens(config.vocab_size, wide);
    for (std::int64_t row = 0; row < fixed.size(0); ++row) {
      for (std::int64_t begin = 0; begin < positions; begin += chunk) {
        const std::int64_t end = std::min(begin + chunk, positions);
        const at::Tensor part = fixed[row].slice(0, begin, end).detach().set_requires_grad(true);
        const at::Tensor logits = model_.head(part);
        at::Tensor by_logits;
        {
          const at::NoGradGuard no_gradients;
          by_logits =
              loss_.backward(logits.detach(), sequences[row].item<std::int64_t>(), begin, sums);
        }
        logits.backward(by_logits);
        gradient[row].slice(0, begin, end).copy_(part.grad());
      }
    }
    states.backward(gradient);
    return last.grad();
  }

  void point(const std::string& series, std::int64_t step, double value) {
    curve_.push_back({series, step, value});
    if (hooks_.curve) hooks_.curve(series, step, value);
  }

  void watch(std::int64_t step, double total, double pull, double norm) {
    if (!std::isfinite(total) || !std::isfinite(norm))
      throw TransformDiverged(
          hooks_.what, step,
          fmt::format("loss {}, norm of the gradient {}", shortest(total), shortest(norm)));
    if (step == 1) {
      first_pull_ = pull;
      first_norm_ = norm;
    }
    const double pull_limit = training_.rotation.stop_pull * std::max(first_pull_, kSmallestPull);
    if (pull_watch_.exceeds(pull, pull_limit))
      throw TransformDiverged(
          hooks_.what, step,
          fmt::format("{} {:.4g} on average of {} steps, {:.4g} at the start", terms_[0].name,
                      pull_watch_.mean(), kWatchedSteps, first_pull_));
    if (norm_watch_.exceeds(norm, kGradientGrowth * std::max(first_norm_, 1e-3)))
      throw TransformDiverged(
          hooks_.what, step,
          fmt::format("norm of the gradient {:.4g} on average of {} steps, {:.4g} at the start",
                      norm_watch_.mean(), kWatchedSteps, first_norm_));
  }

  std::map<std::string, at::Tensor> state() const {
    std::map<std::string, at::Tensor> state;
    for (const Parameter& p : parameters_.all()) {
      state["value/" + p.name] = p.values;
      state["first_moment/" + p.name] = p.moments.first;
      state["second_moment/" + p.name] = p.moments.second;
    }
    return state;
  }

  void write_state(std::int64_t step) const {
    if (hooks_.state_file.empty()) return;
    json curve = json::array();
    for (const Point& p : curve_) curve.push_back({p.series, p.step, p.value});
    keep_tensors(
        hooks_.state_file, hooks_.state_key,
        fmt::format("transform of {}, {} of {} steps", hooks_.what, step, training_.rotation.steps),
        state(), {{"progress", json{{"step", step}, {"curve", curve}}.dump()}});
  }

  /// @return the steps that are done
  std::int64_t read_state() {
    const auto file = find_kept_tensors(hooks_.state_file, hooks_.state_key, hooks_.what);
    if (!file) return 0;
    for (auto& [name, tensor] : state()) tensor.copy_(file->load(name));
    const json progress = parse_json(file->metadata().at("progress"), hooks_.state_file.string());
    for (const json& entry : progress.at("curve"))
      point(entry[0].get<std::string>(), entry[1].get<std::int64_t>(), entry[2].get<double>());
    const auto step = progress.at("step").get<std::int64_t>();
    // What the watch has seen.
    for (const Point& p : curve_) {
      if (p.series == terms_[0].name) {
        if (p.step == 1) first_pull_ = p.value;
        pull_watch_.exceeds(p.value, std::numeric_limits<double>::infinity());
      } else if (p.series == "gradient_norm") {
        if (p.step == 1) first_norm_ = p.value;
        norm_watch_.exceeds(p.value, std::numeric_limits<double>::infinity());
      }
    }
    log_info(fmt::format("{}: goes on after step {}", hooks_.what, step));
    return step;
  }

  TrainedTransform result() const {
    const at::NoGradGuard no_gradients;
    TrainedTransform trained;
    double error = 0;
    trained.transform = parameters_.transform();
    Transform& t = trained.transform;
    auto rotation = [&](at::Tensor& r) {
      error = std::max(error, orthogonality_error(r.detach()));
      r = nearest_orthogonal(r.detach().to(at::kDouble));
    };
    rotation(t.r_res);
    for (at::Tensor& r : t.r_ov) rotation(r);
    for (auto* scales : {&t.s_qk, &t.s_ov, &t.s_up_down, &t.s_norm_attn, &t.s_norm_mlp})
      for (at::Tensor& s : *scales) s = s.detach().to(at::kDouble, /*non_blocking=*/false, true);
    // A norm's gain becomes 1 / S in the model's dtype; the S of the weights behind it is that
    // one's.
    for (auto* scales : {&t.s_norm_attn, &t.s_norm_mlp})
      for (at::Tensor& s : *scales) s = 1 / (1 / s).to(model_.dtype()).to(at::kDouble);
    for (const Point& p : curve_)
      if (p.series != "lr" && p.series.find("orthogonality") != 0 &&
          (p.step == 1 || p.step == training_.rotation.steps))
        trained.metrics.emplace_back(p.series + (p.step == 1 ? "_start" : "_end"), p.value);
    trained.metrics.emplace_back("orthogonality", error);
    return trained;
  }

  struct Point {
    std::string series;
    std::int64_t step;
    double value;
  };

  LlamaModel& model_;
  const at::Tensor tokens_;
  const Format& format_;
  const TrainingLoss& loss_;
  const TransformTraining& training_;
  const TransformHooks& hooks_;
  bool quantize_weights_;
  Parameters parameters_;
  std::vector<TrainingLoss::Term> terms_;
  std::vector<Point> curve_;
  Watch pull_watch_, norm_watch_;
  double first_pull_ = 0, first_norm_ = 0;
};

}  // namespace

bool trains_weight_quant(const RotationTraining& rotation, const Format& format) {
  return rotation.train_weight_quant.value_or(!format.quantizes_activations());
}

Transform initial_transform(LlamaModel& model, const RotationTraining& rotation,
                            const Format& format, std::uint64_t seed) {
  Transform start;
  init_rotations(start, model, rotation.init, seed);
  start.online_down = rotation.online_down;
  start.online_qk = rotation.online_qk && format.quantizes(Site::k);
  return start;
}

void check_transform_training(const TransformTraining& training, const Format& format,
                              const LlamaConfig&, const std::string& where, Problems& problems) {
  const RotationTraining& rotation = training.rotation;
  if (trains_weight_quant(rotation, format)) {
    if (!format.quantizes_weights() && !format.quantizes_activations())
      problems.add(Error(where,
                         fmt::format("nothing to learn: format {} quantizes nothing while training",
                                     format.label()),
                         "a format that quantizes weights, activations, K or V"));
  } else if (!format.quantizes_activations()) {
    problems.add(Error(where,
                       fmt::format("nothing to learn: format {} quantizes weights only, and "
                                   "train_weight_quant is false",
                                   format.label()),
                       "activations, K or V that are quantized, or train_weight_quant = true"));
  }
}

TrainedTransform train_transform(LlamaModel& model, const at::Tensor& tokens, const Format& format,
                                 const Transform& start, const TrainingLoss& loss,
                                 const TransformTraining& training, const TransformHooks& hooks) {
  return Training(model, tokens, format, start, loss, training, hooks).run();
}

}  // namespace harness
