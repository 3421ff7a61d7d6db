#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/report/runs.h"
#include "harness/report/statistics.h"
#include "harness/store/result_store.h"

// What is stored of two rows of a table, side by side: evals.md, "Comparing methods".

namespace harness {

/// An item as comparisons need it.
struct ComparedItem {
  std::string id;
  std::int64_t repeat = 0, position = 0;
  double score = 0, log_odds = 0;  // NaN where the eval stores none, or none that is finite
  std::string cluster;             // empty: none
  std::size_t part = 0;            // of EvalItems::parts
};

/// What says which metrics an item counts for, from its detail; empty where the eval has no such.
struct ItemPart {
  std::string measured, harmful, task, category, groups, category_groups;
  auto operator<=>(const ItemPart&) const = default;
};

/// The items of an attempt, ordered by id and repeat, and their parts.
struct EvalItems {
  std::vector<ComparedItem> items;
  std::vector<ItemPart> parts;
};

/// Reads items, and keeps those of a few attempts at hand.
class ItemCache {
 public:
  explicit ItemCache(const ResultStore& store) : store_(store) {}
  /// The reference is good until the next call but one.
  const EvalItems& items(const std::string& attempt);

 private:
  const ResultStore& store_;
  std::map<std::string, EvalItems> kept_;  // by attempt
  std::string last_;                       // that was asked for
};

/// One metric of two rows, value by value: of the same items, or of the same seeds.
struct PairedValues {
  enum class Unit { items, clusters, blocks, training_seeds, seeds };
  Unit unit = Unit::items;
  bool exponential = false;           // the metric is exp(mean of the values): perplexity
  double reference = 0, value = 0;    // the metric of both rows
  std::vector<double> before, after;  // of each item or seed
  std::vector<std::string> clusters;  // of items; empty names: independent
  std::int64_t left_out = 0;          // items that one of the two has no finite value of

  std::vector<double> differences() const;
  std::int64_t higher() const;  // values that rose
  std::int64_t lower() const;
  /// Items, clusters, blocks or seeds: what the test counts.
  std::int64_t units() const;
  bool of_seeds() const { return unit == Unit::training_seeds || unit == Unit::seeds; }
  /// Whether exact McNemar and the interval from counts hold: independent items, all 0 or 1.
  bool counted() const;

  double difference() const { return value - reference; }
  /// Of difference(), from the differences of items or seeds.
  double standard_error() const;
  /// Of difference(); of an exponential metric, of value / reference. Unknown of one unit.
  Interval interval() const;
  /// Two-sided, of no difference; NaN: not tested.
  double p() const;
  /// "exact McNemar, 200 items", "sign flips, 48 clusters", "t, 7 training seeds".
  std::string test() const { return fmt::format("{}, {} {}", test_name(), units(), unit_name()); }
  std::string test_name() const;
  std::string unit_name() const;
};

/// What was compared, or why it was not.
struct Comparison {
  std::optional<PairedValues> paired;
  std::string why_not;
};

/// One metric of two rows. With two or more seeds in common the seeds are the unit; else the items
/// of their runs, where each row has one (or one with the same seeds as the other's only run).
/// A metric that is no mean of stored values, and items that are not the same, say so.
Comparison compare_rows(ItemCache& reference_items, const RowRuns& reference, ItemCache& row_items,
                        const RowRuns& row, const MetricName& name);

/// Two runs' items of an eval that are scored differently.
struct ChangedItem {
  std::string id, cluster, part;
  double before = 0, after = 0;
};
/// The largest changes first; items of one of the two only are not among them.
std::vector<ChangedItem> changed_items(const EvalItems& reference, const EvalItems& run);

}  // namespace harness
