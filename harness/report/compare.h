#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "harness/report/statistics.h"
#include "harness/report/table.h"
#include "harness/store/result_store.h"

namespace harness {

struct CompareOptions {
  std::size_t items = 0;              // list at most so many items of each eval that changed
  std::optional<double> detect = {};  // say how many items or seeds would show such a difference
  TestPlan plan = {};                 // for that
};

/// Two runs side by side: what was measured of both, metric by metric (add_comparisons; Holm over
/// the metrics of an eval), which items changed, what would show a given difference, and in what
/// configuration and provenance differ. A label of several seeds means all of them, compared seed
/// by seed. Tables in this order, those that were not asked for left out.
/// @param a, b  labels or keys, as find_runs takes them; b is compared with a
/// @throws Error that lists the candidates of a name that means none or several
std::vector<Table> compare_runs(const ResultStore& store_a, const std::string& a,
                                const ResultStore& store_b, const std::string& b,
                                const CompareOptions& options);

/// The same of two databases: the rows that both have, by the names of experiment, label and model;
/// rows of one of the two only are named.
std::vector<Table> compare_databases(const ResultStore& a, const ResultStore& b,
                                     const CompareOptions& options);

/// Items for a difference of two 0/1 metrics at a discordance, or seeds for one at a standard
/// deviation of its differences, as a sentence.
std::string items_needed(double difference, double discordance, const TestPlan& plan);
std::string seeds_needed(double difference, double standard_deviation, const TestPlan& plan);

}  // namespace harness
