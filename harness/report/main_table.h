#pragma once

#include <string>

#include "harness/report/queries.h"
#include "harness/report/table.h"
#include "harness/store/result_store.h"

namespace harness {

/// The table of an experiment: one row a run, in the order of its file, one column a metric,
/// grouped by protocol; where the file has `columns`, the others stand in CSV only, and are named.
/// Runs that share a label and differ in their seed are one row with mean and standard deviation
/// over seeds; of several training seeds calibration seeds are averaged inside one. Values that
/// differ from the reference, and the best, are marked where that is outside noise (marks.h).
/// Nothing stored is hidden: a run that did not succeed is a row with its
/// status and message, and the notes name older versions, other measurements of the same stage and
/// different numbers of items.
/// @param experiment  its name or the beginning of its key (find_experiment)
/// @param sql         a query with the columns of results/queries/main_table.sql
/// @param reference   label of the run that the others are tested against; empty: the unquantized
/// @throws Error that lists the candidates when there is no such experiment or reference
Table main_table(const ResultStore& store, const std::string& experiment,
                 const std::string& sql = kMainTableSql, const std::string& reference = {});

/// A query with the parameter :experiment (the key; the query need not use it) as a table.
Table query_table(const ResultStore& store, const std::string& experiment, const std::string& sql);

/// Under which conditions the results of an experiment were made: key, value, runs.
Table provenance_table(const ResultStore& store, const std::string& experiment);

/// Every experiment in the database.
Table experiments_table(const ResultStore& store);

}  // namespace harness
