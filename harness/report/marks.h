#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "harness/report/runs.h"
#include "harness/report/table.h"
#include "harness/store/result_store.h"

namespace harness {

/// Which values of a main table are outside noise.
struct Marks {
  using Place = std::pair<std::size_t, MetricName>;  // row, column
  std::set<Place> best;
  std::map<Place, double> p;       // against the reference, adjusted over the column (Holm)
  std::vector<std::string> notes;  // what the marks mean, and how that was decided

  void put_on(Cell& cell, std::size_t row, const MetricName& column) const;
};

/// Tests each row against the reference (Holm over the rows of a column), and in each format of a
/// model the best value against the runner-up; a best that is not outside noise is not marked. Rows
/// and metrics that cannot be paired (comparison.h) are left alone.
/// @param reference  label of a row; empty: the unquantized row of the model that most rows
///                   quantize, if there is one
/// @throws Error that lists the labels when none is the reference's
Marks find_marks(const ResultStore& store, const std::vector<RowRuns>& rows,
                 const std::vector<MetricName>& columns, const std::string& reference);

}  // namespace harness
