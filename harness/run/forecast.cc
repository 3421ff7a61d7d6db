#include "harness/run/forecast.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <tuple>

#include "harness/model/weight_memory.h"
#include "harness/run/memory_needs.h"

namespace harness {
namespace {

constexpr std::int64_t kWindow = 2048;  // of an eval that does not say

/// Succeeded attempts at a stage.
struct Cost {
  double least = 0, most = 0;  // seconds: fewest where what is kept was there already
  std::int64_t bytes = 0;
  double weights = 0;  // of the model; 0: not known
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// What earlier attempts took.
class Costs {
 public:
  explicit Costs(const ResultStore* store) {
    if (!store) return;
    const auto rows = store->query(R"(
      SELECT a.stage_key, s.kind, s.name, s.protocol, min(a.wall_seconds), max(a.wall_seconds),
        coalesce(max(a.peak_memory_bytes), 0), coalesce(max(m.value), ''),
        coalesce(max(n.value), 0)
      FROM attempts a JOIN stages s ON s.key = a.stage_key
      LEFT JOIN provenance m ON m.attempt = a.id AND m.key = 'model.digest'
      LEFT JOIN provenance n ON n.attempt = a.id AND n.key = 'model.parameters'
      WHERE a.status = 'succeeded' GROUP BY a.stage_key)");
    for (const auto& row : rows.rows) {
      const Cost cost{std::stod(*row[4]), std::stod(*row[5]), std::stoll(*row[6]),
                      std::stod(*row[8])};
      by_stage_[*row[0]] = cost;
      of_model_[{*row[1], *row[2], *row[3], *row[7]}].push_back(cost);
      of_any_[{*row[1], *row[2], *row[3]}].push_back(cost);
    }
  }

  bool stored(const std::string& stage) const { return by_stage_.count(stage) > 0; }

  struct Estimate {
    std::optional<double> seconds;
    std::int64_t bytes = 0;
  };
  /// @param kept whether what the stage keeps is there
  Estimate of(const StageRow& stage, const ModelFiles& model, bool kept) const {
    if (const auto same = by_stage_.find(stage.key); same != by_stage_.end())
      return {kept ? same->second.least : same->second.most, same->second.bytes};
    if (const auto near = of_model_.find({stage.kind, stage.name, stage.protocol, model.digest});
        near != of_model_.end())
      return estimate(near->second, [](const Cost&) { return 1.0; });
    const auto other = of_any_.find({stage.kind, stage.name, stage.protocol});
    if (other == of_any_.end()) return {};
    const auto weights = static_cast<double>(parameter_count(model.config));
    Estimate scaled = estimate(other->second, [&](const Cost& cost) {
      return cost.weights > 0 ? weights / cost.weights : 0.0;
    });
    scaled.bytes = 0;  // does not scale so
    return scaled;
  }

 private:
  /// @param scale 0: the cost says nothing
  template <class Scale>
  static Estimate estimate(const std::vector<Cost>& costs, Scale&& scale) {
    Estimate result;
    std::vector<double> seconds;
    for (const Cost& cost : costs) {
      if (scale(cost) > 0) seconds.push_back(cost.most * scale(cost));
      result.bytes = std::max(result.bytes, cost.bytes);
    }
    if (!seconds.empty()) result.seconds = median(std::move(seconds));
    return result;
  }

  std::map<std::string, Cost> by_stage_;
  std::map<std::tuple<std::string, std::string, std::string, std::string>, std::vector<Cost>>
      of_model_;
  std::map<std::tuple<std::string, std::string, std::string>, std::vector<Cost>> of_any_;
};

/// From the model's shape: the largest of its evals' and GPTQ's needs.
std::int64_t shape_bytes(const PlannedRun& run) {
  const LlamaConfig& config = run.model->config;
  std::int64_t window = std::min(kWindow, config.max_position_embeddings);
  for (const PluginUse& use : run.spec.evals)
    if (const Value* said = use.options.find("window"); said && said->is_int())
      window = std::max(window, said->as_int());
  std::int64_t bytes = std::max(perplexity_bytes(config, window, run.dtype),
                                generation_bytes(config, window, run.dtype));
  for (const auto& method : run.methods)
    if (method->traits().quantizes_weights && method->traits().needs_calibration)
      bytes = std::max(bytes, gptq_bytes(config, run.spec.calibration->samples,
                                         run.spec.calibration->length, run.dtype));
  if (streams_at(config, run.dtype, run.device, run.memory_limit))
    bytes += *run.memory_limit - weight_bytes(config, run.dtype) -
             packed_bytes(config, run.dtype, run.device);
  return bytes;
}

/// A stage of a run, with the model that it is about.
struct UsedStage {
  const StageRow* stage;
  const ModelFiles* model;
  bool result;  // is what the run is for: done once, whichever run needs it
};

std::vector<UsedStage> stages_of(const PlannedRun& run) {
  std::vector<UsedStage> stages;
  for (const StageRow& stage : run.train_stages) stages.push_back({&stage, run.model.get(), true});
  stages.push_back({&run.load_stage, run.model.get(), false});
  for (const StageRow& stage : run.method_stages)
    stages.push_back({&stage, run.model.get(), false});
  for (const StageRow& stage : run.eval_stages) stages.push_back({&stage, run.model.get(), true});
  for (const ReferenceStage& each : run.reference_stages)
    stages.push_back({&each.stage, files_of(run, each.role).get(), true});
  for (const DerivedStage& each : run.derived_stages)
    stages.push_back({&each.stage, run.model.get(), true});
  return stages;
}

bool complete(const PlannedRun& run, const Costs& costs) {
  auto done = [&](const StageRow& stage) { return costs.stored(stage.key); };
  return std::all_of(run.eval_stages.begin(), run.eval_stages.end(), done) &&
         std::all_of(run.derived_stages.begin(), run.derived_stages.end(),
                     [&](const DerivedStage& each) { return done(each.stage); });
}

}  // namespace

Forecast forecast(const Plan& plan, const ResultStore* store) {
  const Costs costs(store);
  Forecast all;
  std::map<std::string, int> runs_of_stage;
  std::set<std::string> begun;  // stages that an earlier run of the plan sees to
  for (const PlannedRun& run : plan.runs) {
    RunForecast row{run.spec.label, run.spec.model.text, run.row.seed};
    row.complete = complete(run, costs);
    std::int64_t measured = 0;
    row.bytes_measured = true;
    for (const UsedStage& used : stages_of(run)) {
      const StageRow& stage = *used.stage;
      const bool stored = costs.stored(stage.key);
      ++row.stages;
      row.stored += stored;
      ++runs_of_stage[stage.key];
      const bool first = begun.insert(stage.key).second;
      // A transform that was trained before is read.
      const bool kept =
          stage.kind == "method" &&
          (!first || std::filesystem::exists(plan.kept / (stage.key + ".safetensors")));
      const Costs::Estimate estimate = costs.of(stage, *used.model, kept);
      measured = std::max(measured, estimate.bytes);
      row.bytes_measured = row.bytes_measured && estimate.bytes > 0;
      if (row.complete || (used.result && (stored || !first))) continue;
      row.seconds += estimate.seconds.value_or(0);
      row.untimed += !estimate.seconds;
    }
    row.bytes = row.bytes_measured ? measured : std::max(measured, shape_bytes(run));
    all.runs.push_back(std::move(row));
  }
  for (const auto& [key, runs] : runs_of_stage) {
    ++all.stages;
    all.shared += runs > 1;
    all.stored += costs.stored(key);
  }
  return all;
}

}  // namespace harness
