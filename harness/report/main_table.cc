#include "harness/report/main_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "harness/core/text.h"
#include "harness/report/marks.h"
#include "harness/report/runs.h"
#include "harness/report/statistics.h"
#include "harness/store/lookup.h"

namespace harness {
namespace {

constexpr std::size_t kFewSeeds = 4;  // that a cell lists

constexpr std::size_t kShownKeyDigits = 12;

Cell metric_cell(const RowRuns& group, const MetricName& name) {
  std::string every_value;
  Measured last;
  for (const StoredRun* run : group) {
    auto found = run->metrics.find(name);
    if (found == run->metrics.end()) continue;
    last = found->second;
    every_value += (every_value.empty() ? "" : " ") + shortest(last.value);
  }
  if (every_value.empty()) return {.text = "–", .exact = ""};
  if (every_value.find(' ') == std::string::npos) {
    Cell cell{.text = format_measured(last.value, last.standard_error),
              .exact = shortest(last.value)};
    if (last.standard_error)
      cell.details.emplace_back("standard error", shortest(*last.standard_error));
    cell.details.emplace_back("items", std::to_string(last.count));
    return cell;
  }
  std::vector<double> values;
  for (const auto& [seed, value] : values_by_seed(group, name)) values.push_back(value);
  const double center = mean(values), spread = standard_deviation(values);
  return {.text = format_measured(center, spread),
          .exact = shortest(center),
          .details = {{"standard deviation over seeds", shortest(spread)},
                      {"items", std::to_string(last.count)},
                      {"of each seed", every_value}}};
}

Cell status_cell(const StoredRun& run) {
  std::string text = run.status;
  if (run.status == "not started" && run.anything_succeeded) text = "not finished";
  if (run.status == "killed") text = "interrupted";
  if (!run.stage.empty() && run.status != "not started")
    text = fmt::format("{} {}", run.stage, text);
  if (run.status == "killed") text += ": its process is gone";
  if (!run.message.empty()) text += ": " + run.message;
  return {.text = text, .exact = run.status, .details = {{"message", run.message}}};
}

std::string seeds_text(const RowRuns& group, const char* separator) {
  std::vector<std::string> seeds;
  for (const StoredRun* run : group) seeds.push_back(run->seeds());
  return fmt::format("{}", fmt::join(seeds, separator));
}

/// The seeds of rows whose cell has only their number.
void add_note_on_seeds(Table& table, const std::vector<RowRuns>& groups) {
  std::map<std::string, std::vector<std::string>> labels;  // by the list of seeds
  for (const RowRuns& group : groups)
    if (group.size() > kFewSeeds) labels[seeds_text(group, ", ")].push_back(group.front()->label);
  for (const auto& [seeds, of_seeds] : labels)
    table.notes.push_back(labels.size() == 1
                              ? fmt::format("Seeds: {}", seeds)
                              : fmt::format("Seeds of {}: {}", fmt::join(of_seeds, ", "), seeds));
}

/// "12" or "3 to 12": items behind the numbers of a column.
std::string items_text(const std::vector<StoredRun>& runs, const MetricName& name) {
  std::set<std::int64_t> counts;
  for (const StoredRun& run : runs)
    if (auto found = run.metrics.find(name); found != run.metrics.end())
      counts.insert(found->second.count);
  return *counts.begin() == *counts.rbegin()
             ? std::to_string(*counts.begin())
             : fmt::format("{} to {}", *counts.begin(), *counts.rbegin());
}

/// Runs that were calibrated on a text that they are measured on, which `allow_overlap` lets be.
void add_note_on_overlap(Table& table, const ResultStore& store, const ExperimentName& experiment) {
  const auto overlaps = store.query(R"(
    WITH data AS (
      SELECT attempt, key, substr(value, instr(value, ' sha256:')) AS digest
      FROM provenance WHERE key LIKE 'data.%')
    SELECT DISTINCT r.label, substr(c.key, length('data.calibration.') + 1)
    FROM results r
    JOIN data c ON c.attempt = r.attempt AND c.key LIKE 'data.calibration.%'
    JOIN data e ON e.attempt = r.attempt AND e.digest = c.digest
      AND e.key NOT LIKE 'data.calibration.%'
    WHERE r.experiment_key = :key AND r.kind = 'eval' ORDER BY r.position)",
                                    {{"key", experiment.key}});
  for (const auto& row : overlaps.rows)
    table.notes.push_back(
        fmt::format("{} was calibrated on a text that it is measured on (allow_overlap): {}",
                    *row[0], *row[1]));
}

/// A row's model: without the training's seed where the row has several.
std::string model_text(const RowRuns& group) {
  return group.size() > 1 ? group.front()->model_name() : group.front()->model;
}

std::string scheme_text(const RowRuns& group) { return group.front()->scheme; }

/// A column's values over all rows; one alone may stand in a note instead.
std::set<std::string> distinct(const std::vector<RowRuns>& groups,
                               std::string (*text)(const RowRuns&)) {
  std::set<std::string> values;
  for (const RowRuns& group : groups) values.insert(text(group));
  return values;
}

void add_notes_on_numbers(Table& table, const std::vector<StoredRun>& runs,
                          const std::vector<MetricName>& metrics,
                          const std::vector<RowRuns>& groups) {
  const auto models = distinct(groups, model_text), schemes = distinct(groups, scheme_text);
  if (models.size() == 1) table.notes.push_back("Model: " + *models.begin());
  if (schemes.size() == 1) table.notes.push_back("Weights as stored: " + *schemes.begin());
  if (metrics.empty()) return;
  std::set<std::string> protocols;
  for (const MetricName& name : metrics) protocols.insert(name.protocol);
  if (protocols.size() == 1) table.notes.push_back("Protocol: " + *protocols.begin());
  std::vector<std::string> items;
  for (const MetricName& name : metrics)
    items.push_back(fmt::format("{} {}", name.metric, items_text(runs, name)));
  table.notes.push_back(fmt::format("Items: {}", fmt::join(items, ", ")));
  bool one = false, several = false;
  for (const RowRuns& group : groups) {
    several = several || group.size() > 1;
    for (const auto& [name, measured] : group.front()->metrics)
      one = one || (group.size() == 1 && measured.standard_error);
  }
  if (one) table.notes.push_back("±: standard error over items");
  const bool inside = std::any_of(groups.begin(), groups.end(), [](const RowRuns& group) {
    std::set<std::string> training;
    for (const StoredRun* run : group) training.insert(run->training_seed());
    return training.size() > 1 && training.size() < group.size();
  });
  add_note_on_seeds(table, groups);
  if (several)
    table.notes.push_back(
        fmt::format("Rows of several seeds: mean ± standard deviation over seeds{}",
                    inside ? " of training, inside which calibration seeds are averaged" : ""));
}

void add_notes_on_other_results(Table& table, const ResultStore& store,
                                const ExperimentName& experiment) {
  auto list = [&](const std::string& sql) {
    std::vector<std::string> keys;
    const auto found = store.query(sql, {{"key", experiment.key}, {"name", experiment.name}});
    for (const auto& row : found.rows) keys.push_back(row[0]->substr(0, kShownKeyDigits));
    return keys;
  };
  const auto versions = list(
      "SELECT key FROM experiments WHERE name = :name AND key <> :key ORDER BY used_at DESC, key");
  if (!versions.empty())
    table.notes.push_back(
        fmt::format("Other versions of this experiment are stored: {}", fmt::join(versions, ", ")));
  const auto earlier = list(R"(
    SELECT run_key FROM experiment_runs WHERE experiment_key = :key
    EXCEPT SELECT run_key FROM current_runs WHERE experiment_key = :key)");
  if (!earlier.empty())
    table.notes.push_back(
        fmt::format("Earlier runs of these rows, with other code or data, are stored: {}",
                    fmt::join(earlier, ", ")));
  const auto disagreements = store.query(R"(
    SELECT DISTINCT r.label, d.metric, d.attempts, d.least, d.greatest
    FROM results r JOIN disagreements d ON d.stage_key = r.stage_key AND d.metric = r.metric
    WHERE r.experiment_key = :key ORDER BY r.position, r.metric_position)",
                                         {{"key", experiment.key}});
  for (const auto& row : disagreements.rows)
    table.notes.push_back(
        fmt::format("{}: {} attempts measured {} differently ({} to {}); the latest is shown",
                    *row[0], *row[2], *row[1], row[3].value_or("NaN"), row[4].value_or("NaN")));
}

}  // namespace

Table main_table(const ResultStore& store, const std::string& experiment, const std::string& sql,
                 const std::string& reference) {
  const ExperimentName found = find_experiment(store, experiment);
  std::vector<MetricName> metrics;
  const std::vector<StoredRun> runs = read_runs(store, found.key, metrics, sql);
  const std::vector<RowRuns> groups = group_by_seed(runs);

  bool all_succeeded = true, seeds_matter = false;
  std::set<std::string> protocols;
  for (const StoredRun& run : runs) {
    all_succeeded = all_succeeded && run.succeeded();
    seeds_matter = seeds_matter || run.seeds() != runs.front().seeds();
  }
  const ShownMetrics wanted = shown_metrics(store, found.key);
  std::vector<MetricName> shown;
  std::vector<std::string> others;
  for (const MetricName& name : metrics) {
    protocols.insert(name.protocol);
    if (wanted.includes(name.metric))
      shown.push_back(name);
    else
      others.push_back(name.metric);
  }
  const bool one_protocol = protocols.size() == 1;

  Table table;
  table.caption = found.name;
  table.columns = {{.title = "run"},
                   {.title = "model", .machine_only = distinct(groups, model_text).size() <= 1},
                   {.title = "weights", .machine_only = distinct(groups, scheme_text).size() <= 1},
                   {.title = "format"},
                   {.title = "methods"},
                   {.title = "seed", .alignment = Alignment::right, .machine_only = !seeds_matter}};
  if (one_protocol) table.columns.push_back({.title = "protocol", .machine_only = true});
  for (const MetricName& name : metrics)
    table.columns.push_back(
        {.title = name.metric,
         .group = one_protocol ? "" : name.protocol,
         .alignment = Alignment::right,
         .machine_only = std::find(shown.begin(), shown.end(), name) == shown.end()});
  table.columns.push_back({.title = "status", .machine_only = all_succeeded});
  table.columns.push_back({.title = "key", .machine_only = true});

  const Marks marks = find_marks(store, groups, shown, reference);
  for (std::size_t r = 0; r < groups.size(); ++r) {
    const RowRuns& group = groups[r];
    const StoredRun& run = *group.front();
    std::vector<Cell> row = {
        {.text = run.label},
        {.text = model_text(group)},
        {.text = scheme_text(group)},
        {.text = run.format},
        {.text = run.methods.empty() ? "–" : run.methods, .exact = run.methods},
        {.text = group.size() > kFewSeeds ? fmt::format("{} runs", group.size())
                                          : seeds_text(group, ", "),
         .exact = seeds_text(group, " ")}};
    if (one_protocol) row.push_back({.text = *protocols.begin()});
    for (const MetricName& name : metrics) {
      row.push_back(metric_cell(group, name));
      marks.put_on(row.back(), r, name);
    }
    row.push_back(status_cell(run));
    std::string keys;
    for (const StoredRun* each : group) keys += (keys.empty() ? "" : " ") + each->key;
    row.push_back({.text = keys});
    table.rows.push_back(std::move(row));
  }

  if (runs.empty()) table.notes.push_back("No run of this experiment is stored yet.");
  add_notes_on_numbers(table, runs, shown, groups);
  table.notes.insert(table.notes.end(), marks.notes.begin(), marks.notes.end());
  add_note_on_overlap(table, store, found);
  if (!others.empty())
    table.notes.push_back(
        fmt::format("Measured too (in --format csv): {}", fmt::join(others, ", ")));
  add_notes_on_other_results(table, store, found);
  return table;
}

Table query_table(const ResultStore& store, const std::string& experiment, const std::string& sql) {
  const ExperimentName found = find_experiment(store, experiment);
  Table table = result_table(store.query(sql, {{"experiment", found.key}}));
  table.caption = found.name;
  return table;
}

Table provenance_table(const ResultStore& store, const std::string& experiment) {
  return query_table(store, experiment, kProvenanceSql);
}

Table experiments_table(const ResultStore& store) {
  return result_table(store.query(kExperimentsSql));
}

}  // namespace harness
