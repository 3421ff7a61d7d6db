#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "harness/report/named_rows.h"
#include "harness/report/runs.h"
#include "harness/store/lookup.h"
#include "harness/store/result_store.h"

// The part of the page that every number leads to: each run with its stages, items and conditions.

namespace harness {

/// What attempts were made with, where those of the experiment differ.
struct Conditions {
  std::vector<std::string> texts;                 // distinct, in their order
  std::map<std::string, std::size_t> of_attempt;  // index of its text
};

/// @param key of the experiment
Conditions differing_conditions(const ResultStore& store, const std::string& key);

/// Where a row of the table has its runs.
std::string row_anchor(const RowRuns& row);

/// The runs behind the table's rows, as HTML.
/// @param stages of all runs (run_stages.sql)
std::string runs_html(const ResultStore& store, const ExperimentName& experiment,
                      const NamedRows& stages, const std::vector<RowRuns>& rows,
                      const Conditions& conditions);

}  // namespace harness
