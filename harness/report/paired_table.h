#pragma once

#include <string>

#include "harness/report/table.h"
#include "harness/store/result_store.h"

namespace harness {

/// What the runs of an experiment gained or lost against one of them, item by item: one row for
/// each metric that is the mean of its items' scores, or the exponential of that (perplexity).
/// Differences and ratios are of the run's value to the reference's; their standard errors come
/// from the differences of the items, so that what is common to both cancels. A run is compared
/// with the reference of its own seed, or with the only one. Metrics of other kinds, and runs
/// whose items are not the same, are named in the notes.
/// @param experiment  its name or the beginning of its key (find_experiment)
/// @param reference   label of the run that the others are compared with
/// @throws Error that lists the labels when none is the reference's
Table paired_table(const ResultStore& store, const std::string& experiment,
                   const std::string& reference);

}  // namespace harness
