#include "harness/run/training.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "harness/core/hash.h"
#include "harness/run/attempt.h"

namespace harness {
namespace {

struct Rows {
  ExperimentRow experiment;
  RunRow run;
  std::vector<StageRow> stages;  // one a phase
};

Rows rows_of(const TrainRecipe& recipe, const std::string& toml) {
  Rows rows;
  std::string keys;
  for (std::size_t place = 0; place < recipe.phases.size(); ++place) {
    rows.stages.push_back(training_stage(recipe, place));
    keys = fmt::format("{}{}\n", keys, rows.stages.back().key);
  }
  rows.experiment.name = recipe.name;
  rows.experiment.toml = toml;
  rows.experiment.canonical = fmt::format("{}\n{}", recipe.name, keys);
  rows.experiment.key = sha256(rows.experiment.canonical);
  rows.run.experiment_key = rows.experiment.key;
  rows.run.label = recipe.name;
  rows.run.canonical = keys;
  rows.run.key = sha256(fmt::format("training\n{}", rows.experiment.canonical));
  rows.run.model = recipe.phases.back().name;
  rows.run.scheme = "trained here";
  rows.run.format = "none";
  rows.run.methods = "training";
  rows.run.seed = static_cast<std::int64_t>(recipe.seed);
  return rows;
}

std::vector<MetricRow> metrics_of(const TrainOutcome& outcome) {
  std::vector<MetricRow> metrics = {{"loss", outcome.loss, std::nullopt, 1},
                                    {"steps", static_cast<double>(outcome.steps), std::nullopt, 1}};
  for (const auto& [name, value] : outcome.criterion_values)
    metrics.push_back({name, value, std::nullopt, 1});
  return metrics;
}

}  // namespace

StageRow training_stage(const TrainRecipe& recipe, std::size_t place) {
  StageRow stage;
  stage.kind = "train";
  stage.name = recipe.phases[place].name;
  stage.canonical = phase_canonical(recipe, place);
  stage.key = sha256(stage.canonical);
  for (std::size_t earlier = 0; earlier < place; ++earlier)
    if (recipe.phases[earlier].name == recipe.phases[place].from_phase)
      stage.parent_key = phase_key(recipe, earlier);
  return stage;
}

PhaseAttempt attempt_phase(const TrainRecipe& recipe, std::size_t place,
                           const std::filesystem::path& folder, const std::string& run_key,
                           ResultStore& store, Progress& progress) {
  PhaseAttempt done;
  if (auto trained = find_trained_phase(recipe, place, folder);
      trained && store.stage_done(trained->key)) {
    done.outcome.status = AttemptStatus::succeeded;
    done.result = std::move(*trained);
    return done;
  }
  Attempt attempt(store, run_key, phase_key(recipe, place), library_provenance());
  CurveWriter curve(store, attempt.id());
  done.outcome = attempt.run([&] {
    TrainHooks hooks;
    hooks.progress = &progress;
    hooks.curve = [&](const CurveValue& value) {
      curve.add(value.series, value.step, value.value);
    };
    done.result = train_phase(recipe, place, folder, hooks);
  });
  curve.flush();
  const std::string& name = recipe.phases[place].name;
  if (done.outcome.status == AttemptStatus::succeeded) {
    attempt.finish(done.outcome, metrics_of(done.result.outcome));
    if (!done.result.stored_before)
      log_info(fmt::format("{}: {} is trained after {} steps, loss {:.4g}: {}", recipe.name, name,
                           done.result.outcome.steps, done.result.outcome.loss,
                           done.result.folder.string()));
  } else {
    attempt.finish(done.outcome);
    if (done.outcome.status == AttemptStatus::failed)
      log_warning(fmt::format("{}: train {} failed: {}", recipe.name, name, done.outcome.message));
  }
  return done;
}

TrainingSummary run_training(const TrainRecipe& recipe, const std::string& toml,
                             const std::filesystem::path& folder, ResultStore& store,
                             Progress& progress) {
  const Rows rows = rows_of(recipe, toml);
  store.retire_abandoned();
  store.put_experiment(rows.experiment);
  store.put_run(rows.run);
  for (std::size_t place = 0; place < rows.stages.size(); ++place) {
    store.put_stage(rows.stages[place]);
    store.link(rows.run.key, rows.stages[place].key, static_cast<int>(place));
  }
  TrainingSummary summary;
  for (std::size_t place = 0; place < rows.stages.size(); ++place) {
    PhaseAttempt done = attempt_phase(recipe, place, folder, rows.run.key, store, progress);
    if (done.outcome.status != AttemptStatus::succeeded) {
      summary.interrupted = done.outcome.status == AttemptStatus::interrupted;
      summary.failed = !summary.interrupted;
      return summary;
    }
    if (done.result.stored_before)
      log_info(fmt::format("{}: {} is trained already: {}", recipe.name, rows.stages[place].name,
                           done.result.folder.string()));
    summary.phases.push_back(std::move(done.result));
  }
  return summary;
}

}  // namespace harness
