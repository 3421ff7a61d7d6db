#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "harness/report/queries.h"
#include "harness/store/result_store.h"

namespace harness {

/// What a column of a table holds.
struct MetricName {
  std::string protocol, metric;
  auto operator<=>(const MetricName&) const = default;
};

struct Measured {
  double value = 0;  // NaN and infinities as they are
  std::optional<double> standard_error;
  std::int64_t count = 0;     // items behind it
  std::string eval, attempt;  // that its items belong to
};

/// A run of an experiment with all that was measured of it, as the store has it.
struct StoredRun {
  std::string label, key, model, scheme, format, methods;
  std::int64_t seed = 0;
  std::map<MetricName, Measured> metrics = {};
  // Of the stage that went worst:
  std::string status = "succeeded", stage = {}, message = {};
  bool anything_succeeded = false;

  bool succeeded() const { return status == "succeeded"; }
  /// The seed that its pair was trained with ("pair:world/aligned@3"); empty for a model of no
  /// pair.
  std::string training_seed() const;
  /// The seed; of a pair's model the training's before it: "3:0".
  std::string seeds() const;
  /// The model without the training's seed.
  std::string model_name() const;
  /// The format without what a method adds to it: "w4a4kv4" of "w4a4kv4 (a_o g16)".
  std::string bits() const { return format.substr(0, format.find(" (")); }
  /// Equal for runs that are one row of a table: they differ in their seeds at most.
  auto row() const { return std::tuple(label, model_name(), scheme, format, methods); }
};

/// The runs of an experiment in the order of its file.
/// @param metric_names  all that were measured, in the order of their first appearance, are added
/// @param sql           a query with the columns of results/queries/main_table.sql
/// @throws Error when the query lacks one of them
std::vector<StoredRun> read_runs(const ResultStore& store, const std::string& experiment_key,
                                 std::vector<MetricName>& metric_names,
                                 const std::string& sql = kMainTableSql);

/// The metrics that an experiment's file wants to be seen (`columns`); without any: all.
struct ShownMetrics {
  std::vector<std::string> names;
  bool chosen() const { return !names.empty(); }
  bool includes(const std::string& metric) const;
};
/// @param experiment_key  whole
ShownMetrics shown_metrics(const ResultStore& store, const std::string& experiment_key);

/// Runs that are one row of a table: one, or several seeds of the same.
using RowRuns = std::vector<const StoredRun*>;

/// The first row of that label.
/// @param where  what the label is for
/// @throws Error that lists the labels where none is it
std::size_t row_of_label(const std::vector<RowRuns>& rows, const std::string& label,
                         const std::string& where);

/// Whether nothing was done to the model.
bool unquantized(const RowRuns& row);

/// Succeeded runs that differ in their seeds alone come together at the first one's place; the
/// others stay by themselves.
std::vector<RowRuns> group_by_seed(const std::vector<StoredRun>& runs);

/// Whether training seeds are the unit of a row: there is more than one.
bool over_training_seeds(const RowRuns& row);

/// A row's values of a metric by the seed that is the unit: of several training seeds each has the
/// mean over its calibration seeds; else every run is its own ("3:0", or "3" of no pair).
std::map<std::string, double> values_by_seed(const RowRuns& row, const MetricName& name);

}  // namespace harness
