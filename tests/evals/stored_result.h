#pragma once

#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/core/value.h"
#include "harness/store/result_store.h"
#include "tests/evals/eval_support.h"
#include "tests/support/support.h"

namespace harness::test {

/// A database with one experiment "e", whose one run has measured one eval.
inline std::unique_ptr<ResultStore> store_with(const EvalResult& result, const std::string& eval,
                                               const std::string& folder) {
  auto store = ResultStore::open(folder + "/results.sqlite");
  store->put_experiment({"e", "e", "", ""});
  store->put_run({.key = "r",
                  .experiment_key = "e",
                  .label = "r",
                  .canonical = "",
                  .model = "",
                  .scheme = "",
                  .format = "",
                  .methods = ""});
  store->put_stage({"s", "eval", eval, "p", "", ""});
  store->link("r", "s", 0);
  std::vector<MetricRow> metrics;
  for (const Metric& metric : result.metrics)
    metrics.push_back({metric.name, metric.value, metric.standard_error, metric.count});
  std::vector<ItemRow> items;
  for (const EvalItem& item : result.items)
    items.push_back({item.id, static_cast<std::int64_t>(items.size()), item.score, item.cluster,
                     json_text(item.detail)});
  store->finish_attempt(store->begin_attempt("r", "s", {}), {}, metrics, items);
  return store;
}

/// results/queries/QUERY.sql, which gives rows of attempt, metric, value and count, finds every
/// metric in the stored items, and no other.
inline void expect_recomputed(const EvalResult& result, const std::string& eval,
                              const std::string& query) {
  const TemporaryFolder folder;
  const auto store = store_with(result, eval, folder.path().string());
  const auto found =
      store->query(read_file(source_folder() / "results/queries" / (query + ".sql")));
  std::map<std::string, std::pair<double, std::string>> recomputed;
  for (const auto& row : found.rows)
    recomputed[*row[1]] = {row[2] ? std::stod(*row[2]) : std::numeric_limits<double>::quiet_NaN(),
                           *row[3]};
  EXPECT_EQ(recomputed.size(), found.rows.size()) << "a metric comes twice";
  for (const Metric& metric : result.metrics) {
    SCOPED_TRACE(eval + ": " + metric.name);
    const auto own = recomputed.find(metric.name);
    if (own == recomputed.end()) {
      ADD_FAILURE() << "the query has no such metric";
      continue;
    }
    const auto& [value, count] = own->second;
    if (std::isfinite(metric.value))
      EXPECT_NEAR(value, metric.value, 1e-9 * std::fabs(metric.value));
    else
      EXPECT_FALSE(std::isfinite(value));
    EXPECT_EQ(count, std::to_string(metric.count));
  }
  EXPECT_FALSE(result.metrics.empty());
  EXPECT_EQ(recomputed.size(), result.metrics.size())
      << "the query has metrics that the eval does not report";
}

}  // namespace harness::test
