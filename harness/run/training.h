#pragma once

#include "harness/core/log.h"
#include "harness/store/result_store.h"
#include "harness/train/recipe.h"

namespace harness {

struct TrainingSummary {
  std::vector<PhaseResult> phases;  // those that are trained, now or before
  bool failed = false;              // the phase after them failed: recorded and logged
  bool interrupted = false;         // the same call goes on
};

/// Trains a recipe into a folder and writes down how it went: each phase is a stage of the kind
/// "train" whose attempts have the learning curve, and the last loss and values of the criterion as
/// metrics. A phase that fails is recorded with its message, and ends the training.
/// @param toml the training file as written; empty where there is none
/// @throws Error only when the database itself cannot be written
TrainingSummary run_training(const TrainRecipe& recipe, const std::string& toml,
                             const std::filesystem::path& folder, ResultStore& store,
                             Progress& progress);

}  // namespace harness
