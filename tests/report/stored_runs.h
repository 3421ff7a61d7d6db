#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/report/runs.h"
#include "harness/report/statistics.h"
#include "tests/store/example_store.h"
#include "tests/support/support.h"

namespace harness::test {

/// An item by its score; its id is its place ("0", "1", ...) unless it has one.
struct TestItem {
  double score = 0;
  std::string cluster = {};
  std::string detail = {};  // JSON
  std::string id = {};
};

inline std::vector<TestItem> items_of(const std::vector<double>& scores) {
  std::vector<TestItem> items;
  for (double score : scores) items.push_back({.score = score});
  return items;
}

inline double mean_of(const std::vector<TestItem>& items) {
  std::vector<double> scores;
  for (const TestItem& item : items) scores.push_back(item.score);
  return mean(scores);
}

/// A database with one experiment whose runs tests describe in a line each.
class StoredRuns {
 public:
  explicit StoredRuns(const std::string& variant = "")
      : experiment_(example_experiment("table", variant)) {
    store().put_experiment(experiment_);
  }

  struct Row {
    std::string label;
    std::string model = "SmolLM2";
    std::string format = "w4a16";
    std::string methods = "rtn";
    std::int64_t seed = 0;
    std::string canonical = {};  // configuration, as JSON; empty: by the others
  };
  struct Eval {
    std::string name = "tasks";
    std::string protocol = "p/1";
  };

  RunRow put_run(const Row& row) {
    RunRow run = example_run(experiment_, row.label, position_++, row.seed);
    run.model = row.model;
    run.format = row.format;
    run.methods = row.methods;
    run.canonical = row.canonical.empty() ? run.canonical + row.model + row.format + row.methods
                                          : row.canonical;
    run.key = key_of(run.canonical + row.label + std::to_string(row.seed));
    store().put_run(run);
    return run;
  }
  void put_eval(const RunRow& run, const Eval& eval, const std::vector<MetricRow>& metrics,
                const std::vector<TestItem>& items) {
    StageRow stage = example_stage(run.key + eval.name + eval.protocol);
    stage.name = eval.name;
    stage.protocol = eval.protocol;
    store().put_stage(stage);
    store().link(run.key, stage.key, stage_++);
    std::vector<ItemRow> rows;
    for (std::size_t i = 0; i < items.size(); ++i) {
      ItemRow item;
      item.id = items[i].id.empty() ? std::to_string(i) : items[i].id;
      item.position = static_cast<std::int64_t>(i);
      item.score = items[i].score;
      item.cluster = items[i].cluster;
      item.detail_json = items[i].detail;
      rows.push_back(item);
    }
    store_result(store(), run, stage, metrics, rows);
  }
  /// A run whose accuracy is the mean of its items.
  void put(const Row& row, const std::vector<TestItem>& items) {
    put_eval(put_run(row), {}, {count("acc", mean_of(items), items.size())}, items);
  }
  /// A run of which one number is known.
  void put_value(const Row& row, const std::string& metric, double value) {
    put_eval(put_run(row), {}, {count(metric, value, 4)}, {});
  }
  static MetricRow count(const std::string& name, double value, std::size_t items) {
    return {name, value, std::nullopt, static_cast<std::int64_t>(items)};
  }

  ResultStore& store() { return *store_; }
  const ExperimentRow& experiment() const { return experiment_; }
  std::vector<StoredRun> read() {
    std::vector<MetricName> names;
    return read_runs(store(), experiment_.key, names);
  }

 private:
  TemporaryFolder folder_;
  std::unique_ptr<ResultStore> store_ = ResultStore::open(folder_ / "results.sqlite");
  ExperimentRow experiment_;
  int position_ = 0, stage_ = 0;
};

}  // namespace harness::test
