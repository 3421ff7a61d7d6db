#include "harness/report/runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "harness/core/error.h"
#include "harness/core/experiment.h"
#include "harness/core/text.h"
#include "harness/report/named_rows.h"
#include "harness/report/statistics.h"
#include "harness/store/lookup.h"
#include "harness/store/process.h"

namespace harness {
namespace {

/// What became of a stage; a running one whose process is gone was killed.
std::string status_of(const NamedRows& rows, std::size_t r) {
  std::string status = rows.text(r, "attempt_status");
  if (status == "running" && liveness({rows.text(r, "host"), rows.integer(r, "pid"),
                                       rows.text(r, "process")}) == Liveness::gone)
    return "killed";
  return status;
}

int severity_of(const std::string& status) {
  static const std::vector<std::string> by_severity = {"succeeded",   "not started", "running",
                                                       "interrupted", "killed",      "failed"};
  return static_cast<int>(std::find(by_severity.begin(), by_severity.end(), status) -
                          by_severity.begin());
}

/// Whether the experiment is more than a training.
bool measured(const NamedRows& rows) {
  for (std::size_t r = 0; r < rows.size(); ++r)
    if (rows.text(r, "kind") == "eval") return true;
  return false;
}

double value_of(const NamedRows& rows, std::size_t r) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::string kind = rows.text(r, "status");
  return rows.number(r, "value")
      .value_or(kind == "inf"    ? kInfinity
                : kind == "-inf" ? -kInfinity
                                 : std::nan(""));
}

}  // namespace

std::string StoredRun::training_seed() const {
  return model.starts_with("pair:") ? model.substr(model.rfind('@') + 1) : "";
}

std::string StoredRun::seeds() const {
  return training_seed().empty() ? std::to_string(seed)
                                 : fmt::format("{}:{}", training_seed(), seed);
}

std::string StoredRun::model_name() const {
  return training_seed().empty() ? model : model.substr(0, model.rfind('@'));
}

std::vector<StoredRun> read_runs(const ResultStore& store, const std::string& experiment_key,
                                 std::vector<MetricName>& metric_names, const std::string& sql) {
  const NamedRows rows(store, sql, {{"experiment", experiment_key}});
  const bool is_measured = measured(rows);
  std::vector<StoredRun> runs;
  std::map<std::string, std::size_t> by_place;
  std::set<MetricName> seen(metric_names.begin(), metric_names.end());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    auto [place, is_new] = by_place.emplace(rows.text(r, "position"), runs.size());
    if (is_new)
      runs.push_back({.label = rows.text(r, "label"),
                      .key = rows.text(r, "run_key"),
                      .model = rows.text(r, "model"),
                      .scheme = rows.text(r, "scheme"),
                      .format = rows.text(r, "format"),
                      .methods = rows.text(r, "methods"),
                      .seed = rows.integer(r, "seed")});
    StoredRun& run = runs[place->second];
    const std::string status = status_of(rows, r);
    run.anything_succeeded = run.anything_succeeded || status == "succeeded";
    if (severity_of(status) > severity_of(run.status)) {
      run.status = status;
      run.stage = rows.text(r, "kind") == "load" ? "load" : rows.text(r, "stage");
      run.message = rows.text(r, "message");
    }
    // Numbers of a training or a method are no columns beside what was measured of its models.
    if (!rows.cell(r, "metric") || rows.text(r, "kind") == "method" ||
        (rows.text(r, "kind") == "train" && is_measured))
      continue;
    const MetricName name{rows.text(r, "protocol"), rows.text(r, "metric")};
    if (seen.insert(name).second) metric_names.push_back(name);
    run.metrics[name] = {value_of(rows, r), rows.number(r, "standard_error"),
                         rows.integer(r, "count"), rows.text(r, "stage"), rows.text(r, "attempt")};
  }
  return runs;
}

bool ShownMetrics::includes(const std::string& metric) const {
  return !chosen() || std::find(names.begin(), names.end(), metric) != names.end();
}

ShownMetrics shown_metrics(const ResultStore& store, const std::string& experiment_key) {
  return {table_columns(experiment_toml(store, experiment_key))};
}

std::size_t row_of_label(const std::vector<RowRuns>& rows, const std::string& label,
                         const std::string& where) {
  std::set<std::string> labels;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (rows[r].front()->label == label) return r;
    labels.insert(rows[r].front()->label);
  }
  throw Error(where, fmt::format("no run has the label \"{}\"", label),
              fmt::format("one of {}", fmt::join(labels, ", ")),
              did_you_mean(label, {labels.begin(), labels.end()}));
}

bool unquantized(const RowRuns& row) {
  return row.front()->format == "none" && row.front()->methods.empty();
}

std::vector<RowRuns> group_by_seed(const std::vector<StoredRun>& runs) {
  std::vector<RowRuns> groups;
  for (const StoredRun& run : runs) {
    auto fits = [&](const RowRuns& group) {
      return group.front()->succeeded() && run.succeeded() && group.front()->row() == run.row() &&
             std::none_of(group.begin(), group.end(),
                          [&](const StoredRun* other) { return other->seeds() == run.seeds(); });
    };
    auto found = std::find_if(groups.begin(), groups.end(), fits);
    if (found == groups.end())
      groups.push_back({&run});
    else
      found->push_back(&run);
  }
  return groups;
}

bool over_training_seeds(const RowRuns& row) {
  return std::any_of(row.begin(), row.end(), [&](const StoredRun* run) {
    return run->training_seed() != row.front()->training_seed();
  });
}

std::map<std::string, double> values_by_seed(const RowRuns& row, const MetricName& name) {
  const bool training = over_training_seeds(row);
  std::map<std::string, std::vector<double>> inside;
  for (const StoredRun* run : row)
    if (auto found = run->metrics.find(name); found != run->metrics.end())
      inside[training ? run->training_seed() : run->seeds()].push_back(found->second.value);
  std::map<std::string, double> values;
  for (const auto& [seed, of_seed] : inside) values[seed] = mean(of_seed);
  return values;
}

}  // namespace harness
