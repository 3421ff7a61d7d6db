#pragma once

#include <string>

#include "harness/store/result_store.h"

namespace harness {

/// Everything stored of one experiment (named as find_experiment takes it) as SQL text, which makes
/// a database of it again: `sqlite3 new.sqlite < dump.sql`. Rows are sorted by their keys, so that
/// the same content gives the same text. Host, pid and process of attempts are left out, and the
/// texts that models wrote: their digests and what scorers say of them are in.
/// @param items  whether with items, completions and verdicts; without, the metrics stay, and the
///               tables made of them, at a fraction of the size
std::string dump(const ResultStore& store, const std::string& experiment, bool items = true);

}  // namespace harness
