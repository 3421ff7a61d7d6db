#pragma once

#include "harness/core/log.h"
#include "harness/run/plan.h"
#include "harness/store/result_store.h"

namespace harness {

struct RunSummary {
  int succeeded = 0;  // runs whose every eval is stored, now or before
  int failed = 0;
  bool interrupted = false;  // by Ctrl-C: what was finished is stored
};

/// Runs what is not stored yet. A stage that fails is recorded with its message and the other runs
/// go on; each result is one transaction.
/// @throws Error only when the database itself cannot be written
RunSummary run_plan(const Plan& plan, ResultStore& store, Progress& progress);

}  // namespace harness
