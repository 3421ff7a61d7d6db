#pragma once

#include <filesystem>

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

/// Prepares the model of a plan's one selected run, its stages stored as run_plan() does, and
/// writes it to a folder (save_quantized_folder).
/// @throws Error when the plan has not one run, when a stage of it fails, or the folder cannot be
/// written; Interrupted
void quantize_run(const Plan& plan, ResultStore& store, Progress& progress,
                  const std::filesystem::path& folder);

}  // namespace harness
