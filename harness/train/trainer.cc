#include "harness/train/trainer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>

#include "harness/model/json.h"
#include "harness/model/kept_tensors.h"

namespace harness {
namespace {

using nlohmann::json;

/// The fused AdamW of LibTorch over the weights that learn, group by group.
class Optimizer {
 public:
  Optimizer(const TrainableModel& model, const TrainOptions& options) : options_(options) {
    for (const TrainableModel::Weight& weight : model.weights()) {
      if (weight.frozen) continue;
      Group& group = group_of(weight.name);
      group.names.push_back(weight.name);
      group.masters.push_back(weight.master.detach());
      group.weights.push_back(weight.master);
      group.first_moments.push_back(at::zeros_like(group.masters.back()));
      group.second_moments.push_back(at::zeros_like(group.masters.back()));
    }
  }

  /// The norm of all gradients together, before they are scaled down to the largest norm allowed.
  double clip_gradients() {
    std::vector<at::Tensor> gradients;
    for (const Group& group : groups_)
      for (const at::Tensor& weight : group.weights) gradients.push_back(weight.grad());
    const double norm = at::stack(at::_foreach_norm(gradients)).norm().item<double>();
    // As torch.nn.utils.clip_grad_norm_ does it.
    const double scale = options_.clip / (norm + 1e-6);
    if (options_.clip > 0 && scale < 1) at::_foreach_mul_(gradients, scale);
    return norm;
  }

  /// @param step counted from 1
  void step(std::int64_t step, double lr) {
    for (Group& group : groups_) {
      std::vector<at::Tensor> gradients;
      for (const at::Tensor& weight : group.weights) gradients.push_back(weight.grad());
      const std::vector<at::Tensor> steps(gradients.size(),
                                          at::scalar_tensor(static_cast<double>(step), at::kFloat));
      at::_fused_adamw_(group.masters, gradients, group.first_moments, group.second_moments, {},
                        steps, lr * group.lr_factor, options_.betas[0], options_.betas[1],
                        group.weight_decay ? options_.weight_decay : 0.0, options_.epsilon,
                        /*amsgrad=*/false, /*maximize=*/false);
    }
  }

  /// Weights and moments by name, views of what is trained: to be written, or read into.
  std::map<std::string, at::Tensor> state() const {
    std::map<std::string, at::Tensor> state;
    for (const Group& group : groups_)
      for (std::size_t i = 0; i < group.names.size(); ++i) {
        state["weight/" + group.names[i]] = group.masters[i];
        state["first_moment/" + group.names[i]] = group.first_moments[i];
        state["second_moment/" + group.names[i]] = group.second_moments[i];
      }
    return state;
  }

 private:
  struct Group {
    std::string match;
    double lr_factor;
    bool weight_decay;
    std::vector<std::string> names;
    std::vector<at::Tensor> weights;  // hold the gradients
    std::vector<at::Tensor> masters;  // the same memory, outside of any graph
    std::vector<at::Tensor> first_moments, second_moments;
  };

  Group& group_of(const std::string& name) {
    ParameterGroup wanted;
    for (const ParameterGroup& group : options_.groups)
      if (glob_match(group.match, name)) {
        wanted = group;
        break;
      }
    for (Group& group : groups_)
      if (group.match == wanted.match) return group;
    groups_.push_back({wanted.match, wanted.lr_factor, wanted.weight_decay, {}, {}, {}, {}, {}});
    return groups_.back();
  }

  const TrainOptions& options_;
  std::vector<Group> groups_;
};

/// The learning curve: kept for the state file, and told to the caller.
class Curve {
 public:
  explicit Curve(const TrainHooks& hooks) : hooks_(hooks) {}
  void add(CurveValue value) {
    if (hooks_.curve) hooks_.curve(value);
    values_.push_back(std::move(value));
  }
  json to_json() const {
    json list = json::array();
    for (const CurveValue& value : values_) list.push_back({value.series, value.step, value.value});
    return list;
  }
  void add_all(const json& list) {
    for (const json& entry : list) {
      // JSON has no NaN: it was written as null.
      const double value =
          entry[2].is_null() ? std::numeric_limits<double>::quiet_NaN() : entry[2].get<double>();
      add({entry[0].get<std::string>(), entry[1].get<std::int64_t>(), value});
    }
  }

 private:
  const TrainHooks& hooks_;
  std::vector<CurveValue> values_;
};

void check_batch(const TrainBatch& batch, const LlamaConfig& config, const std::string& what) {
  auto fail = [&](const std::string& found, const std::string& expected) {
    throw Error(what, found, expected, "use the tokenizer of the model that is trained");
  };
  assert(batch.tokens.dim() == 2 && batch.tokens.scalar_type() == at::kLong);
  assert(batch.targets.sizes() == batch.tokens.sizes() && batch.targets.scalar_type() == at::kLong);
  if (batch.tokens.size(1) > config.max_position_embeddings)
    throw Error(
        what, fmt::format("a sequence of {} tokens", batch.tokens.size(1)),
        fmt::format("at most {}, for which the model is made", config.max_position_embeddings),
        "use shorter sequences");
  const std::int64_t last = config.vocab_size - 1;
  const std::string range = fmt::format("0 to {}, the rows of the model's embedding", last);
  const auto least = batch.tokens.min().item<std::int64_t>();
  const auto largest = batch.tokens.max().item<std::int64_t>();
  if (least < 0 || largest > last)
    fail(fmt::format("token id {}", least < 0 ? least : largest), range);
  const auto target = batch.targets.max().item<std::int64_t>();
  if (target > last) fail(fmt::format("target id {}", target), range);
}

/// Restores an interrupted training. @return the steps that are done, 0 when there is no state
std::int64_t read_state(const TrainHooks& hooks, const Optimizer& optimizer, Curve& curve,
                        TrainOutcome& outcome) {
  const auto file = find_kept_tensors(hooks.state_file, hooks.state_key, hooks.what);
  if (!file) return 0;
  for (const auto& [name, tensor] : optimizer.state()) tensor.copy_(file->load(name));
  const json progress = parse_json(file->metadata().at("progress"), hooks.state_file.string());
  outcome.loss = progress.at("loss").get<double>();
  for (const json& entry : progress.at("criterion"))
    outcome.criterion_values.emplace_back(entry[0].get<std::string>(), entry[1].get<double>());
  curve.add_all(progress.at("curve"));
  const auto step = progress.at("step").get<std::int64_t>();
  log_info(fmt::format("{}: goes on after step {}", hooks.what, step));
  return step;
}

void write_state(const TrainHooks& hooks, const Optimizer& optimizer, const Curve& curve,
                 const TrainOutcome& outcome) {
  if (hooks.state_file.empty()) return;
  json criterion = json::array();
  for (const auto& [name, value] : outcome.criterion_values) criterion.push_back({name, value});
  const json progress = {{"step", outcome.steps},
                         {"loss", outcome.loss},
                         {"criterion", criterion},
                         {"curve", curve.to_json()}};
  keep_tensors(hooks.state_file, hooks.state_key, hooks.what, optimizer.state(),
               {{"progress", progress.dump()}});
}

/// Writes states where they are due, by steps or by time. A large model's takes long to write, on a
/// slow disk longer than some steps: by time, writing takes a tenth of the training at most.
class StateClock {
 public:
  explicit StateClock(const TrainHooks& hooks) : hooks_(hooks) {}
  template <class Write>
  void tick(std::int64_t step, Write&& write) {
    const bool by_step = hooks_.state_every_steps > 0 && step % hooks_.state_every_steps == 0;
    const double wait = std::max(hooks_.state_every_seconds, 9 * write_seconds_);
    if (!by_step && seconds_since(last_) < wait) return;
    const auto start = Clock::now();
    write();
    write_seconds_ = seconds_since(start);
    last_ = Clock::now();
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double seconds_since(Clock::time_point then) {
    return std::chrono::duration<double>(Clock::now() - then).count();
  }

  const TrainHooks& hooks_;
  Clock::time_point last_ = Clock::now();
  double write_seconds_ = 0;
};

}  // namespace

double learning_rate(const TrainOptions& options, std::int64_t step) {
  if (step < options.warmup)
    return options.lr * static_cast<double>(step + 1) / static_cast<double>(options.warmup);
  if (options.schedule == "constant") return options.lr;
  // Over the steps after the warm-up: 0 at the first, 1 at the last.
  const double span =
      static_cast<double>(std::max<std::int64_t>(1, options.steps - 1 - options.warmup));
  const double done = std::min(1.0, static_cast<double>(step - options.warmup) / span);
  const double shape =
      options.schedule == "cosine" ? 0.5 * (1 + std::cos(std::numbers::pi * done)) : 1 - done;
  return options.lr * (options.final_lr + (1 - options.final_lr) * shape);
}

bool is_frozen(const TrainOptions& options, const std::string& name) {
  return std::any_of(options.frozen.begin(), options.frozen.end(),
                     [&](const std::string& pattern) { return glob_match(pattern, name); });
}

void check_train_options(const TrainOptions& options, const std::vector<std::string>& names,
                         const std::string& where, Problems& problems) {
  if (options.betas.size() != 2 || options.betas[0] >= 1 || options.betas[1] >= 1)
    problems.add(Error(where, fmt::format("betas is [{}]", fmt::join(options.betas, ", ")),
                       "two numbers, at least 0 and below 1"));
  if (options.warmup > options.steps)
    problems.add(Error(
        where, fmt::format("warmup {} is longer than steps {}", options.warmup, options.steps),
        "at most as many steps"));
  auto check_pattern = [&](const char* key, const std::string& pattern) {
    if (std::none_of(names.begin(), names.end(),
                     [&](const std::string& name) { return glob_match(pattern, name); }))
      problems.add(Error(where,
                         fmt::format("{}: \"{}\" matches no tensor of the model", key, pattern),
                         "a glob on names such as \"model.layers.0.mlp.down_proj.weight\""));
  };
  for (const std::string& pattern : options.frozen) check_pattern("frozen", pattern);
  for (const ParameterGroup& group : options.groups) check_pattern("groups", group.match);
  if (std::all_of(names.begin(), names.end(),
                  [&](const std::string& name) { return is_frozen(options, name); }))
    problems.add(
        Error(where, "frozen: every tensor of the model is frozen", "at least one that learns"));
}

TrainingDiverged::TrainingDiverged(const std::string& what, std::int64_t step, double loss,
                                   double gradient_norm)
    : Error(what,
            fmt::format("diverged at step {}: loss {}, norm of the gradient {}", step,
                        shortest(loss), shortest(gradient_norm)),
            "finite numbers", "lower lr, lengthen warmup or clip the gradient"),
      step(step) {}

TrainOutcome train(TrainableModel& model, const ExampleSource& source, const Criterion* criterion,
                   const TrainOptions& options, const TrainHooks& hooks) {
  Progress& progress = hooks.progress ? *hooks.progress : no_progress();
  Optimizer optimizer(model, options);
  Curve curve(hooks);
  TrainOutcome outcome;
  outcome.steps = read_state(hooks, optimizer, curve, outcome);
  model.refresh_products();
  StateClock clock(hooks);

  while (outcome.steps < options.steps) {
    try {
      check_interrupted();
    } catch (const Interrupted&) {
      write_state(hooks, optimizer, curve, outcome);
      throw;
    }
    std::vector<TrainBatch> batches;
    std::int64_t targets = 0;
    for (std::int64_t i = 0; i < options.accumulate; ++i) {
      batches.push_back(source.batch(outcome.steps * options.accumulate + i));
      check_batch(batches.back(), model.model().config(), hooks.what);
      targets += batches.back().targets.ge(0).sum().item<std::int64_t>();
    }
    if (targets == 0)
      throw Error(hooks.what,
                  fmt::format("the batch of step {} has nothing to learn", outcome.steps + 1),
                  "at least one position with a target", "check the examples");

    const double lr = learning_rate(options, outcome.steps);
    double loss = 0;
    model.clear_gradients();
    for (const TrainBatch& batch : batches) loss += model.accumulate_gradients(batch, targets);
    const double norm = optimizer.clip_gradients();
    const std::int64_t step = outcome.steps + 1;
    curve.add({"loss", step, loss});
    curve.add({"gradient_norm", step, norm});
    curve.add({"lr", step, lr});
    if (!std::isfinite(loss) || !std::isfinite(norm))
      throw TrainingDiverged(hooks.what, step, loss, norm);
    optimizer.step(step, lr);
    model.refresh_products();
    outcome.steps = step;
    outcome.loss = loss;

    bool met = false;
    if (criterion && (step % options.criterion_every == 0 || step == options.steps)) {
      const at::NoGradGuard no_gradients;
      const Criterion::Result result = criterion->evaluate(model.model());
      for (const auto& [name, value] : result.values) curve.add({name, step, value});
      outcome.criterion_values = result.values;
      met = result.met;
    }
    progress.update(hooks.what, static_cast<double>(step), static_cast<double>(options.steps));
    if (met) {
      outcome.stopped_by = TrainOutcome::StoppedBy::criterion;
      break;
    }
    if (outcome.steps < options.steps)
      clock.tick(step, [&] { write_state(hooks, optimizer, curve, outcome); });
  }
  model.clear_gradients();
  return outcome;
}

}  // namespace harness
