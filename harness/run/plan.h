#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/experiment.h"
#include "harness/core/provenance.h"
#include "harness/model/chat.h"
#include "harness/model/checkpoint.h"
#include "harness/model/tokenizer.h"
#include "harness/plugin/plugins.h"
#include "harness/store/result_store.h"

namespace harness {

/// A checkpoint that was found and opened (its weights are not read), with its tokenizer.
struct ModelFiles {
  std::string reference;
  std::unique_ptr<Checkpoint> checkpoint;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::string digest, tokenizer_digest;
  std::optional<ChatTemplate> chat_template;
};

/// A run with everything built and looked up. Stages: load -> a stage a method -> a stage an eval;
/// the key of a stage is the SHA-256 of everything that can change its result, its parent's key
/// included.
struct PlannedRun {
  RunSpec spec;
  std::shared_ptr<const ModelFiles> model, base;  // base is null when the run names none
  c10::ScalarType dtype = c10::kFloat;
  c10::Device device{c10::kCPU};
  std::vector<std::unique_ptr<Method>> methods;
  std::vector<std::unique_ptr<Eval>> evals;
  StageRow load_stage;
  std::vector<StageRow> method_stages, eval_stages;  // one for each method and eval
  RunRow row;
  Provenance data_provenance;  // what was read, by digest
};

struct Plan {
  ExperimentRow experiment;
  std::vector<PlannedRun> runs;  // the selected ones
};

/// Checks everything that can be checked without loading weights: plugins and their options,
/// devices, checkpoints, formats, files, overlap of calibration and evaluation data.
/// @throws Error with all problems of all runs
Plan make_plan(const Experiment& experiment, const Plugins& plugins);

}  // namespace harness
