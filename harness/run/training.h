#pragma once

#include "harness/core/log.h"
#include "harness/store/result_store.h"
#include "harness/train/recipe.h"

namespace harness {

/// The stage that trains a phase: kind "train", the phase's key.
StageRow training_stage(const TrainRecipe& recipe, std::size_t phase);

struct PhaseAttempt {
  AttemptOutcome outcome;  // failed or interrupted: recorded, nothing is thrown
  PhaseResult result;      // where it succeeded
};

/// Trains a phase as an attempt at its stage: the learning curve, and the last loss and values of
/// the criterion as metrics. One that is trained already, and whose stage is stored, is left alone.
PhaseAttempt attempt_phase(const TrainRecipe& recipe, std::size_t phase,
                           const std::filesystem::path& folder, const std::string& run_key,
                           ResultStore& store, Progress& progress);

struct TrainingSummary {
  std::vector<PhaseResult> phases;  // those that are trained, now or before
  bool failed = false;              // the phase after them failed: recorded and logged
  bool interrupted = false;         // the same call goes on
};

/// Trains a recipe into a folder and writes down how each phase went. One that fails is recorded
/// with its message, and ends the training.
/// @param toml the training file as written; empty where there is none
/// @throws Error only when the database itself cannot be written
TrainingSummary run_training(const TrainRecipe& recipe, const std::string& toml,
                             const std::filesystem::path& folder, ResultStore& store,
                             Progress& progress);

}  // namespace harness
