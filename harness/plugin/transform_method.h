#pragma once

#include <string>

#include "harness/plugin/method.h"
#include "harness/quant/transform_trainer.h"

// What the methods that train a transform share: spinquant, ostquant, aaq.

namespace harness {

/// Trains a transform for the context's model, folds it in, and records how it went. The state
/// stays in the context's folder: of an interrupted training to go on from, of a finished one as
/// its result for other runs that share the stage.
/// @param name of the method, for messages
void train_and_fold(MethodContext& context, const std::string& name,
                    const TransformTraining& training, const TrainingLoss& loss);

/// The loss of a distillation from the run's own model, unquantized, and where there is a push from
/// its base. Targets are made once for all runs that start from the same models and text.
Distillation distillation_of(MethodContext& context, const DistillationOptions& options);

/// Adds what is wrong with k for a model of that vocabulary.
void check_distillation(const DistillationOptions& options, const LlamaConfig& config,
                        const std::string& where, Problems& problems);

}  // namespace harness
