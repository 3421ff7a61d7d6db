#pragma once

#include <memory>
#include <string>
#include <vector>

#include "harness/core/error.h"
#include "harness/report/runs.h"
#include "harness/report/statistics.h"
#include "harness/report/table.h"
#include "tests/report/example_experiment.h"
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
  struct Row {
    std::string label;
    std::string model = "SmolLM2";
    std::string format = "w4a16";
    std::string methods = "rtn";
    std::int64_t seed = 0;
    std::string canonical = {};  // configuration, as JSON
  };
  struct Eval {
    std::string name = "tasks";
    std::string protocol = "p/1";
  };

  /// A run of which nothing is known.
  void put_run(const Row& row) {
    experiment_.put({row.label, row.model, row.format, row.methods, row.seed, row.canonical});
  }
  /// A run with what an eval measured of it.
  void put_eval(const Row& row, const Eval& eval, const std::vector<MetricRow>& metrics,
                const std::vector<TestItem>& items) {
    put_run(row);
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
    experiment_.measure(eval.name, eval.protocol, metrics, rows);
  }
  /// A run whose accuracy is the mean of its items.
  void put(const Row& row, const std::vector<TestItem>& items) {
    put_eval(row, {}, {count("acc", mean_of(items), items.size())}, items);
  }
  /// A run of which one number is known.
  void put_value(const Row& row, const std::string& metric, double value) {
    put_eval(row, {}, {count(metric, value, 4)}, {});
  }
  static MetricRow count(const std::string& name, double value, std::size_t items) {
    return {name, value, std::nullopt, static_cast<std::int64_t>(items)};
  }

  ResultStore& store() { return *store_; }
  std::vector<StoredRun> read() {
    std::vector<MetricName> names;
    return read_runs(store(), experiment_.key(), names);
  }

 private:
  TemporaryFolder folder_;
  std::unique_ptr<ResultStore> store_ = ResultStore::open(folder_ / "results.sqlite");
  ExampleExperiment experiment_{*store_, "table"};
};

/// The cell of a row under a title (the first column of that title).
inline const Cell& cell(const Table& table, std::size_t row, const std::string& title) {
  for (std::size_t c = 0; c < table.columns.size(); ++c)
    if (table.columns[c].title == title) return table.rows.at(row).at(c);
  throw Error("table", "no column " + title);
}

}  // namespace harness::test
