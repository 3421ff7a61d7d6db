#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/model/checkpoint.h"
#include "harness/model/checkpoint_writer.h"
#include "harness/train/initial_weights.h"
#include "harness/train/trainer.h"

// How a checkpoint is made, in phases (pre-train, then fine-tune). `harness train` and the pairs
// that the harness trains itself go the same way.

namespace harness {

/// Weights drawn by the recipe's seed.
struct NewModel {
  LlamaConfig config;
  InitOptions init;
};

/// One stretch of training, from weights to a checkpoint folder. The weights to start from are one
/// of: an earlier phase's, an existing checkpoint's, new ones.
struct TrainPhase {
  std::string name;  // of its folder
  std::string from_phase;
  std::shared_ptr<const Checkpoint> from_checkpoint;
  std::optional<NewModel> new_model;
  CheckpointTexts texts;  // the tokenizer's, written beside the weights
  std::shared_ptr<const ExampleSource> source;
  std::shared_ptr<const Criterion> criterion;  // may be null
  bool criterion_required = true;  // a training that never meets it fails and leaves no checkpoint
  TrainOptions options;
  std::string save_dtype = "fp32";  // fp32, bf16 or fp16
};

struct TrainRecipe {
  std::string name;
  std::uint64_t seed = 0;
  std::vector<TrainPhase> phases;
};

/// The model's shape in a phase, which it takes over from where it starts.
const LlamaConfig& phase_config(const TrainRecipe& recipe, std::size_t phase);

/// One text for everything that can change a phase's weights, what it starts from included; its
/// SHA-256 is the phase's key.
std::string phase_canonical(const TrainRecipe& recipe, std::size_t phase);
std::string phase_key(const TrainRecipe& recipe, std::size_t phase);

/// What can be known to be wrong before anything is trained.
void check_recipe(const TrainRecipe& recipe, Problems& problems);

/// The criterion was not met within the steps. Nothing is saved.
class CriterionNotMet : public Error {
 public:
  CriterionNotMet(const std::string& what, const TrainOutcome& outcome);
};

struct PhaseResult {
  std::filesystem::path folder;  // of the checkpoint
  std::string key;
  TrainOutcome outcome;
  bool stored_before = false;  // the folder held this very phase already: nothing was done
};

/// The phase as `folder` holds it already, finished: one whose record has the phase's key, and
/// whose files are those that were written, by their digests; that they are not is logged.
std::optional<PhaseResult> find_trained_phase(const TrainRecipe& recipe, std::size_t phase,
                                              const std::filesystem::path& folder);

/// Trains a phase and writes its checkpoint to folder/NAME, an ordinary Hugging Face folder with a
/// record of the training (training.json), which comes last: a folder without it is not finished.
/// A phase that find_trained_phase finds is not trained again; its curve is told from the record.
/// The state of an unfinished phase stands in folder/NAME.state.safetensors until then.
/// @param hooks what, state_file and state_key are set here
/// @throws CriterionNotMet, TrainingDiverged, Interrupted; Error when the folder holds a checkpoint
/// that was not trained here, or cannot be written
PhaseResult train_phase(const TrainRecipe& recipe, std::size_t phase,
                        const std::filesystem::path& folder, TrainHooks hooks);

/// All phases, one after the other.
std::vector<PhaseResult> train_recipe(const TrainRecipe& recipe,
                                      const std::filesystem::path& folder, const TrainHooks& hooks);

}  // namespace harness
