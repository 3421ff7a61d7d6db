#include "harness/plugin/transform_method.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cassert>
#include <optional>

namespace harness {
namespace {

std::filesystem::path file_in(const MethodFiles& files, const std::string& name) {
  if (files.folder.empty()) return {};
  std::filesystem::create_directories(files.folder);
  return files.folder / (name + ".safetensors");
}

}  // namespace

void train_and_fold(MethodContext& context, const std::string& name,
                    const TransformTraining& training, const TrainingLoss& loss) {
  assert(context.calibration);
  TransformHooks hooks;
  hooks.curve = [&](const std::string& series, std::int64_t step, double value) {
    context.record.curve(series, step, value);
  };
  hooks.progress = &context.progress;
  hooks.what = name;
  hooks.state_file = file_in(context.files, context.files.stage_key);
  hooks.state_key = context.files.stage_key;
  const Transform start =
      initial_transform(context.model, training.rotation, context.format, context.seed);
  const TrainedTransform trained = train_transform(context.model, context.calibration->tokens(),
                                                   context.format, start, loss, training, hooks);
  fold(context.model, trained.transform);
  context.record.transform(trained.transform);
  std::string said;
  for (const auto& [metric, value] : trained.metrics) {
    context.record.metric(metric, value);
    said += fmt::format("  {} {:.4g}", metric, value);
  }
  log_info(fmt::format("{}:{}", name, said));
}

Distillation distillation_of(MethodContext& context, const DistillationOptions& options) {
  assert(context.calibration);
  // Alpha itself and renormalise are the loss's own.
  DistillationTargets targets = stored_targets(
      context.files.folder, context.files.inputs_key, options, context.model.config().vocab_size,
      [&](const DistillationOptions& kept) {
        using Role = References::Role;
        const at::Tensor& tokens = context.calibration->tokens();
        const auto states = [&](Role role, const char* name) {
          return FinalStates(
              context.references.llama(role), tokens, context.files.folder,
              fmt::format("states of the {} model\n{}", name, context.files.inputs_key));
        };
        FinalStates teacher = states(Role::aligned, "aligned");
        std::optional<FinalStates> base;
        if (kept.alpha != 0) base.emplace(states(Role::base, "base"));
        DistillationTargets made =
            distillation_targets(tokens, teacher, base ? &*base : nullptr, kept, context.progress);
        context.references.release(Role::aligned);
        if (base) context.references.release(Role::base);
        return made;
      });
  return {std::move(targets), options};
}

void check_distillation(const DistillationOptions& options, const LlamaConfig& config,
                        const std::string& where, Problems& problems) {
  auto check = [&](const char* name, std::int64_t k) {
    if (k > config.vocab_size)
      problems.add(Error(
          where,
          fmt::format("{} is {}, but the vocabulary has {} tokens", name, k, config.vocab_size),
          "at most the vocabulary, or 0 for all of it", "choose a smaller k"));
  };
  check("top_k", options.top_k);
  if (options.alpha != 0) check("push_top_k", options.push_top_k);
}

}  // namespace harness
