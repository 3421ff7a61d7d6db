#pragma once

#include <string>

#include "harness/store/result_store.h"

namespace harness {

/// Whose items, completions and verdicts are dumped. Without them the metrics stay, and the tables
/// made of them, at a fraction of the size.
enum class DumpedItems {
  all,
  first,  // of the first run of each label: what a page compares item by item
  none,
};

/// Everything stored of one experiment (named as find_experiment takes it) as SQL text, which makes
/// a database of it again: `sqlite3 new.sqlite < dump.sql`. Rows are sorted by their keys, so that
/// the same content gives the same text. Host, pid and process of attempts are left out, and the
/// texts that models wrote: their digests and what scorers say of them are in.
std::string dump(const ResultStore& store, const std::string& experiment,
                 DumpedItems items = DumpedItems::all);

}  // namespace harness
