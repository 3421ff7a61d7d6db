#include "harness/report/main_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <set>

#include "harness/core/error.h"
#include "harness/core/experiment.h"
#include "harness/core/text.h"
#include "harness/report/statistics.h"
#include "harness/store/lookup.h"
#include "harness/store/process.h"

namespace harness {
namespace {

constexpr std::size_t kShownKeyDigits = 12;

/// The rows of a query, by the names of their columns.
class NamedRows {
 public:
  NamedRows(const ResultStore& store, const std::string& sql, const std::string& experiment_key)
      : where_(store.path().string()), result_(store.query(sql, {{"experiment", experiment_key}})) {
    for (std::size_t c = 0; c < result_.columns.size(); ++c) columns_[result_.columns[c]] = c;
  }
  std::size_t size() const { return result_.rows.size(); }
  const std::optional<std::string>& cell(std::size_t row, const std::string& column) const {
    auto found = columns_.find(column);
    if (found == columns_.end())
      throw Error(where_, fmt::format("the query of the table gives no column \"{}\"", column),
                  "the columns of results/queries/main_table.sql",
                  did_you_mean(column, result_.columns));
    return result_.rows[row][found->second];
  }
  std::string text(std::size_t row, const std::string& column) const {
    return cell(row, column).value_or("");
  }
  std::optional<double> number(std::size_t row, const std::string& column) const {
    const auto& text = cell(row, column);
    if (!text) return std::nullopt;
    double value = 0;
    std::from_chars(text->data(), text->data() + text->size(), value);
    return value;
  }
  std::int64_t integer(std::size_t row, const std::string& column) const {
    std::int64_t value = 0;
    const std::string digits = text(row, column);
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
  }

 private:
  std::string where_;
  ResultStore::ResultSet result_;
  std::map<std::string, std::size_t> columns_;
};

struct MetricName {
  std::string protocol, metric;
  auto operator<=>(const MetricName&) const = default;
};
struct Measured {
  double value = 0;
  std::optional<double> standard_error;
  std::int64_t count = 0;
};

/// A run as the store has it.
struct Run {
  std::string label, key, model, scheme, format, methods;
  std::int64_t seed = 0;
  std::map<MetricName, Measured> metrics;
  int severity = 0;  // of status
  std::string status = "succeeded", stage, message;
  bool anything_succeeded = false;

  bool succeeded() const { return severity == 0; }
  /// Equal for runs that are one row: they differ in their seed, or in that of their pair's
  /// training
  /// ("pair:world/aligned@3"), at most.
  auto row() const {
    const std::string name = training_seed().empty() ? model : model.substr(0, model.rfind('@'));
    return std::tuple(label, name, scheme, format, methods);
  }
  /// Empty for a model of no pair.
  std::string training_seed() const {
    return model.starts_with("pair:") ? model.substr(model.rfind('@') + 1) : "";
  }
  /// The seed; of a pair's model the training's seed before it: "3:0".
  std::string seeds() const {
    return training_seed().empty() ? std::to_string(seed)
                                   : fmt::format("{}:{}", training_seed(), seed);
  }
};

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

std::vector<Run> read_runs(const NamedRows& rows, std::vector<MetricName>& metric_names) {
  std::vector<Run> runs;
  std::map<std::string, std::size_t> by_place;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    auto [place, is_new] = by_place.emplace(rows.text(r, "position"), runs.size());
    if (is_new)
      runs.push_back({rows.text(r, "label"),
                      rows.text(r, "run_key"),
                      rows.text(r, "model"),
                      rows.text(r, "scheme"),
                      rows.text(r, "format"),
                      rows.text(r, "methods"),
                      rows.integer(r, "seed"),
                      {},
                      0,
                      "succeeded",
                      "",
                      "",
                      false});
    Run& run = runs[place->second];
    const std::string status = status_of(rows, r);
    run.anything_succeeded = run.anything_succeeded || status == "succeeded";
    if (severity_of(status) > run.severity) {
      run.severity = severity_of(status);
      run.status = status;
      run.stage = rows.text(r, "kind") == "load" ? "load" : rows.text(r, "stage");
      run.message = rows.text(r, "message");
    }
    // Numbers of a training or a method are no columns beside what was measured of its models.
    if (!rows.cell(r, "metric") || rows.text(r, "kind") == "method" ||
        (rows.text(r, "kind") == "train" && measured(rows)))
      continue;
    const MetricName name{rows.text(r, "protocol"), rows.text(r, "metric")};
    if (std::find(metric_names.begin(), metric_names.end(), name) == metric_names.end())
      metric_names.push_back(name);
    const double infinity = std::numeric_limits<double>::infinity();
    const std::string kind_of_number = rows.text(r, "status");
    run.metrics[name] = {rows.number(r, "value")
                             .value_or(kind_of_number == "inf"    ? infinity
                                       : kind_of_number == "-inf" ? -infinity
                                                                  : std::nan("")),
                         rows.number(r, "standard_error"), rows.integer(r, "count")};
  }
  return runs;
}

/// Runs that one row of the table shows: one, or several seeds of the same.
using RowRuns = std::vector<const Run*>;

/// Succeeded runs that differ in their seed alone come together at the first one's place; the
/// others stay by themselves.
std::vector<RowRuns> group_by_seed(const std::vector<Run>& runs) {
  std::vector<RowRuns> groups;
  for (const Run& run : runs) {
    auto fits = [&](const RowRuns& group) {
      return group.front()->succeeded() && run.succeeded() && group.front()->row() == run.row() &&
             std::none_of(group.begin(), group.end(),
                          [&](const Run* other) { return other->seeds() == run.seeds(); });
    };
    auto found = std::find_if(groups.begin(), groups.end(), fits);
    if (found == groups.end())
      groups.push_back({&run});
    else
      found->push_back(&run);
  }
  return groups;
}

Cell metric_cell(const RowRuns& group, const MetricName& name) {
  std::vector<double> values;
  std::string every_value;
  Measured last;
  for (const Run* run : group) {
    auto found = run->metrics.find(name);
    if (found == run->metrics.end()) continue;
    last = found->second;
    values.push_back(last.value);
    every_value += (every_value.empty() ? "" : " ") + shortest(last.value);
  }
  if (values.empty()) return {.text = "–", .exact = ""};
  if (values.size() == 1) {
    Cell cell{.text = format_measured(last.value, last.standard_error),
              .exact = shortest(last.value)};
    if (last.standard_error)
      cell.details.emplace_back("standard error", shortest(*last.standard_error));
    cell.details.emplace_back("items", std::to_string(last.count));
    return cell;
  }
  const double center = mean(values), spread = standard_deviation(values);
  return {.text = format_measured(center, spread),
          .exact = shortest(center),
          .details = {{"standard deviation over seeds", shortest(spread)},
                      {"items", std::to_string(last.count)},
                      {"of each seed", every_value}}};
}

Cell status_cell(const Run& run) {
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
  for (const Run* run : group) seeds.push_back(run->seeds());
  return fmt::format("{}", fmt::join(seeds, separator));
}

/// "12" or "3 to 12": items behind the numbers of a column.
std::string items_text(const std::vector<Run>& runs, const MetricName& name) {
  std::set<std::int64_t> counts;
  for (const Run& run : runs)
    if (auto found = run.metrics.find(name); found != run.metrics.end())
      counts.insert(found->second.count);
  return *counts.begin() == *counts.rbegin()
             ? std::to_string(*counts.begin())
             : fmt::format("{} to {}", *counts.begin(), *counts.rbegin());
}

/// The metrics that the experiment's file wants in its table; empty: all.
std::vector<std::string> columns_of(const ResultStore& store, const ExperimentName& experiment) {
  const auto found =
      store.query("SELECT toml FROM experiments WHERE key = :key", {{"key", experiment.key}});
  return table_columns(found.rows.at(0).at(0).value_or(""));
}

/// Values of a text column over all runs; one of them may stand in a note instead.
std::set<std::string> distinct(const std::vector<Run>& runs, std::string Run::*field) {
  std::set<std::string> values;
  for (const Run& run : runs) values.insert(run.*field);
  return values;
}

void add_notes_on_numbers(Table& table, const std::vector<Run>& runs,
                          const std::vector<MetricName>& metrics,
                          const std::vector<RowRuns>& groups) {
  const auto models = distinct(runs, &Run::model), schemes = distinct(runs, &Run::scheme);
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
  if (several) table.notes.push_back("Rows of several seeds: mean ± standard deviation over seeds");
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

Table main_table(const ResultStore& store, const std::string& experiment, const std::string& sql) {
  const ExperimentName found = find_experiment(store, experiment);
  const NamedRows rows(store, sql, found.key);
  std::vector<MetricName> metrics;
  const std::vector<Run> runs = read_runs(rows, metrics);
  const std::vector<RowRuns> groups = group_by_seed(runs);

  bool all_succeeded = true, seeds_matter = false;
  std::set<std::string> protocols;
  for (const Run& run : runs) {
    all_succeeded = all_succeeded && run.succeeded();
    seeds_matter = seeds_matter || run.seeds() != runs.front().seeds();
  }
  const std::vector<std::string> columns = columns_of(store, found);
  std::vector<MetricName> shown;
  std::vector<std::string> others;
  for (const MetricName& name : metrics) {
    protocols.insert(name.protocol);
    if (columns.empty() || std::find(columns.begin(), columns.end(), name.metric) != columns.end())
      shown.push_back(name);
    else
      others.push_back(name.metric);
  }
  const bool one_protocol = protocols.size() == 1;

  Table table;
  table.caption = found.name;
  table.columns = {{.title = "run"},
                   {.title = "model", .machine_only = distinct(runs, &Run::model).size() <= 1},
                   {.title = "weights", .machine_only = distinct(runs, &Run::scheme).size() <= 1},
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

  for (const RowRuns& group : groups) {
    const Run& run = *group.front();
    std::vector<Cell> row = {
        {.text = run.label},
        {.text = group.size() > 1 ? std::get<1>(run.row()) : run.model},
        {.text = run.scheme},
        {.text = run.format},
        {.text = run.methods.empty() ? "–" : run.methods, .exact = run.methods},
        {.text = seeds_text(group, ", "), .exact = seeds_text(group, " ")}};
    if (one_protocol) row.push_back({.text = *protocols.begin()});
    for (const MetricName& name : metrics) row.push_back(metric_cell(group, name));
    row.push_back(status_cell(run));
    std::string keys;
    for (const Run* each : group) keys += (keys.empty() ? "" : " ") + each->key;
    row.push_back({.text = keys});
    table.rows.push_back(std::move(row));
  }

  if (runs.empty()) table.notes.push_back("No run of this experiment is stored yet.");
  add_notes_on_numbers(table, runs, shown, groups);
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
