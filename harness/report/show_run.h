#pragma once

#include <string>

#include "harness/store/result_store.h"

namespace harness {

/// One run with all it depends on, as text: experiments, configuration, and its stages in order,
/// each with its key, attempts, metrics and provenance.
/// @param label_or_key  as find_run takes it
/// @throws Error that lists the candidates when there is none or more than one
std::string show_run(const ResultStore& store, const std::string& label_or_key);

}  // namespace harness
