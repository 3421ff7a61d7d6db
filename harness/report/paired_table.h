#pragma once

#include <string>
#include <vector>

#include "harness/report/comparison.h"
#include "harness/report/table.h"
#include "harness/store/result_store.h"

namespace harness {

/// A row of a table of comparisons.
struct ComparedMetric {
  std::vector<Cell> leading;  // the cells before the protocol's
  MetricName name;
  PairedValues paired;
  std::string family;  // p values of one family are adjusted for each other (Holm)
};

/// Adds a row for each comparison behind columns that stand already: protocol, metric, both values,
/// their difference with its interval, ratio (of exponential metrics), p alone and adjusted by
/// family, how many items or seeds there are and how many rose and fell; and the notes that say how
/// all this was found.
void add_comparisons(Table& table, const std::vector<ComparedMetric>& compared);

/// What the rows of an experiment gained or lost against one of them, item by item, or, where rows
/// have several seeds, seed by seed: a row for each metric that is the mean of its items' scores or
/// the exponential of that (perplexity); over seeds, any metric. A run is compared with the
/// reference of its own seed, or with the only one. Metrics of other kinds, and runs whose items
/// are not the same, are named in the notes. P values: Holm over the runs of a metric.
/// @param experiment  its name or the beginning of its key (find_experiment)
/// @param reference   label of the run that the others are compared with
/// @throws Error that lists the labels when none is the reference's
Table paired_table(const ResultStore& store, const std::string& experiment,
                   const std::string& reference);

/// The same of every two rows of an experiment, by the metrics that its table shows. P values: Holm
/// over all pairs of a metric.
Table all_pairs_table(const ResultStore& store, const std::string& experiment);

}  // namespace harness
