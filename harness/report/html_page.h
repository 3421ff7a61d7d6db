#pragma once

#include <string>

#include "harness/store/result_store.h"

namespace harness {

/// One page for people, of an experiment, from the database alone: a summary in words, the table,
/// plots, items that changed, published values beside ours, and each run with its provenance, to
/// which every number is linked. It needs no other file and no network, and the same database gives
/// the same bytes.
/// @param experiment  its name or the beginning of its key (find_experiment)
std::string to_html_page(const ResultStore& store, const std::string& experiment);

}  // namespace harness
