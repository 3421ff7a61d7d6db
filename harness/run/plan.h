#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/experiment.h"
#include "harness/core/provenance.h"
#include "harness/model/chat.h"
#include "harness/model/checkpoint.h"
#include "harness/model/checkpoint_writer.h"
#include "harness/model/tokenizer.h"
#include "harness/plugin/plugins.h"
#include "harness/store/result_store.h"
#include "harness/train/pair.h"

namespace harness {

/// A checkpoint that was found and opened (its weights are not read), with its tokenizer; or a
/// model of a pair, which may still have to be trained.
struct ModelFiles {
  std::string reference;
  std::string place;  // the checkpoint, as open_checkpoint takes it; empty until open()
  LlamaConfig config;
  std::string scheme;
  /// What stage keys are made of. Of a pair's model: of its recipe, since its weights may not be
  /// there yet.
  std::string digest, tokenizer_digest;
  std::shared_ptr<const Pair> pair;  // null: a checkpoint that is there already
  // Of a pair's model null until open().
  std::unique_ptr<Checkpoint> checkpoint;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;
  std::string role;  // of a pair's model

  /// Opens what the pair's training left. Does nothing where checkpoint is there.
  void open();
  /// The tokenizer's files, of a model that is open, with the chat template that it talks by.
  CheckpointTexts tokenizer_texts() const;
};

/// Opens a checkpoint with its tokenizer.
/// @throws Error where either is missing or the two do not fit
void open_files(ModelFiles& files, const std::string& checkpoint);

/// An eval of the run on one of its unquantized models, because a derived eval reads it. The stage
/// is that of a run of that model by itself, so that each is measured once.
struct ReferenceStage {
  References::Role role;
  std::size_t eval;  // of PlannedRun::evals
  StageRow stage;
};

/// A derived eval on what one of the run's evals has stored.
struct DerivedStage {
  std::size_t derived;                // of PlannedRun::derived_evals
  std::size_t eval;                   // of PlannedRun::evals
  std::string aligned_key, base_key;  // of the stages that it reads beside the run's own
  StageRow stage;
};

/// A run with everything built and looked up. Stages: train (of a pair) -> load -> a stage a method
/// -> a stage an eval; the key of a stage is the SHA-256 of everything that can change its result,
/// its parent's key included.
struct PlannedRun {
  RunSpec spec;
  Format format;                            // the spec's, as the run's methods have adapted it
  std::shared_ptr<ModelFiles> model, base;  // base is null when the run names none
  c10::ScalarType dtype = c10::kFloat;
  c10::Device device{c10::kCPU};
  std::optional<std::int64_t> memory_limit;  // bytes of a model's weights
  bool integer = false;                      // execution
  std::vector<std::unique_ptr<Method>> methods;
  /// Runs whose evals have the same options and data share them.
  std::vector<std::shared_ptr<const Eval>> evals;
  std::vector<std::shared_ptr<const DerivedEval>> derived_evals;
  std::shared_ptr<const Pair> pair;  // that the run's model belongs to, trained or not; or null
  /// Pairs that the models belong to and that train them, each once, and the stages of all their
  /// phases.
  std::vector<std::shared_ptr<const Pair>> pairs;
  std::vector<StageRow> train_stages;
  StageRow load_stage;
  std::vector<StageRow> method_stages, eval_stages;  // one for each method and eval
  StageRow base_load_stage;                          // where there is a base
  std::vector<ReferenceStage> reference_stages;      // without the run's own
  std::vector<DerivedStage> derived_stages;
  /// Digest of what methods start from: the models as loaded, and the calibration text.
  std::string inputs_key;
  RunRow row;
  Provenance data_provenance;  // what was read, by digest
};

/// The unquantized model of that role.
const std::shared_ptr<ModelFiles>& files_of(const PlannedRun& run, References::Role role);

/// The format that the run's model is computed in: the run's, or the one that `harness quantize`
/// has stored with the model.
Format computed_format(const PlannedRun& run);

/// Where the run's evals look for their data.
DataContext data_of(const PlannedRun& run);

struct Plan {
  ExperimentRow experiment;
  std::vector<PlannedRun> runs;  // the selected ones
  /// Where stages keep what lets them go on, and serves other runs: stage_folder(), unless nothing
  /// that was kept is to be used.
  std::filesystem::path kept;
  /// The items that a stage's eval measures, by the stage's key, where not all are wanted: of evals
  /// that go by_item; where none is, the stage is left out, whatever it measures. For a database
  /// that is thrown away.
  std::map<std::string, ItemIds> samples = {};
};

/// Checks everything that can be checked without loading weights: plugins and their options,
/// devices, checkpoints, formats, files, overlap of calibration and evaluation data.
/// @throws Error with all problems of all runs
Plan make_plan(const Experiment& experiment, const Plugins& plugins);

}  // namespace harness
