#include "harness/quant/training_loss.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <optional>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/kernels/divergence.h"
#include "harness/model/kept_tensors.h"
#include "harness/quant/wide.h"

namespace harness {
namespace {

constexpr const char* kKept = "targets of distillation";

constexpr std::int64_t kSmallVocabulary = 65536;
constexpr std::int64_t kIndexOffset = 32768;  // of int16 indices
constexpr std::int64_t kPassTokens = 4096;

/// exp(logits - their largest), the one wide copy of a chunk, and what makes a softmax of it.
struct Exponentials {
  at::Tensor values;       // [n, vocabulary]
  at::Tensor sum;          // [n, 1]
  at::Tensor log_sum_exp;  // float64 [n, 1] of the logits
};

Exponentials exponentials(const at::Tensor& logits) {
  Exponentials e;
  e.values = logits.to(wide_type(logits), /*non_blocking=*/false, /*copy=*/true);
  const at::Tensor largest = e.values.amax(-1, true);
  e.values.sub_(largest).exp_();
  e.sum = e.values.sum(-1, true);
  e.log_sum_exp = e.sum.to(at::kDouble).log().add_(largest);
  return e;
}

at::Tensor packed_indices(const at::Tensor& indices, std::int64_t vocabulary) {
  return vocabulary <= kSmallVocabulary ? (indices - kIndexOffset).to(at::kShort)
                                        : indices.to(at::kInt);
}

/// Fills the targets of a calibration text chunk by chunk.
class TargetWriter {
 public:
  TargetWriter(const at::Tensor& tokens, const LlamaModel& model, std::int64_t k)
      : vocabulary_(model.config().vocab_size) {
    const std::int64_t sequences = tokens.size(0), length = tokens.size(1);
    const std::int64_t columns = k == 0 ? vocabulary_ : k;
    targets_.logits = at::empty({sequences, length, columns}, model.dtype());
    targets_.log_sum_exp =
        at::empty({sequences, length}, model.dtype() == at::kDouble ? at::kDouble : at::kFloat);
    if (k > 0)
      targets_.indices = at::empty({sequences, length, columns},
                                   vocabulary_ <= kSmallVocabulary ? at::kShort : at::kInt);
  }

  /// @param first   of the rows, all positions counted
  /// @param indices int64 [n, k]; undefined where k is 0
  void write(std::int64_t first, const at::Tensor& logits, const at::Tensor& indices) {
    auto rows = [&](at::Tensor& all) { return all.flatten(0, 1).narrow(0, first, logits.size(0)); };
    at::Tensor where = targets_.log_sum_exp.flatten().narrow(0, first, logits.size(0));
    where.copy_(exponentials(logits).log_sum_exp.squeeze(-1));
    rows(targets_.logits).copy_(indices.defined() ? logits.gather(1, indices) : logits);
    if (indices.defined()) rows(targets_.indices).copy_(packed_indices(indices, vocabulary_));
  }

  SubsetTargets take() { return std::move(targets_); }

 private:
  std::int64_t vocabulary_;
  SubsetTargets targets_;
};

/// The least k that targets are kept for: all that is published of AAQ is within it.
constexpr std::int64_t kKeptK = 1024;

/// The k that targets of `k` are kept with.
std::int64_t kept_k(std::int64_t k, std::int64_t vocabulary) {
  if (k == 0) return 0;
  const auto wide = std::bit_ceil(static_cast<std::uint64_t>(std::max(k, kKeptK)));
  return std::max(k, std::min(static_cast<std::int64_t>(wide), vocabulary));
}

/// Those of the k first of each position; all where k is 0.
SubsetTargets first_of(const SubsetTargets& targets, std::int64_t k) {
  if (k == 0) return targets;
  return {targets.indices.narrow(-1, 0, k).contiguous(),
          targets.logits.narrow(-1, 0, k).contiguous(), targets.log_sum_exp};
}

/// Largest first; of equal ones those that torch.topk puts first.
at::Tensor top(const at::Tensor& values, std::int64_t k) { return std::get<1>(values.topk(k, -1)); }

void check_k(const char* name, std::int64_t k, std::int64_t vocabulary) {
  if (k < 0 || k > vocabulary)
    throw Error(name, fmt::format("{}, but the vocabulary has {} tokens", k, vocabulary),
                "at most the vocabulary, or 0 for all of it", "choose a smaller k");
}

}  // namespace

at::Tensor unpacked_indices(const at::Tensor& packed, at::Device device) {
  const at::Tensor there = packed.to(device);
  return there.scalar_type() == at::kShort ? there.to(at::kLong).add_(kIndexOffset)
                                           : there.to(at::kLong);
}

at::Tensor CrossEntropy::backward(const at::Tensor& logits, std::int64_t sequence,
                                  std::int64_t first, at::Tensor& sums) const {
  // The divergence from a p that has all of its mass on the next token.
  const std::int64_t rows = logits.size(0);
  return divergence_gradient(
      logits,
      {{.indices = tokens_[sequence].narrow(0, first + 1, rows).unsqueeze(-1),
        .logits = at::zeros({rows, 1}, logits.options()),
        .log_sum_exp = at::zeros({rows}, logits.options().dtype(at::kDouble))}},
      /*renormalise=*/false, sums);
}

at::Tensor push_indices(const at::Tensor& aligned, const at::Tensor& base, PushSubset subset,
                        std::int64_t k) {
  auto softmax = [](const at::Tensor& logits) {
    Exponentials e = exponentials(logits);
    return e.values.div_(e.sum);
  };
  switch (subset) {
    case PushSubset::probability_difference:
      return top(softmax(aligned).sub_(softmax(base)).abs_(), k);
    case PushSubset::logit_difference:
      return top((aligned.to(wide_type(aligned)) - base.to(wide_type(base))).abs_(), k);
    case PushSubset::base_probability:
      return top(base, k);
  }
  assert(false);
  return {};
}

DistillationTargets distillation_targets(const at::Tensor& tokens, const LlamaModel& teacher,
                                         const LlamaModel* base, const DistillationOptions& options,
                                         Progress& progress) {
  FinalStates of_teacher(teacher, tokens);
  std::optional<FinalStates> of_base;
  if (base) of_base.emplace(*base, tokens);
  return distillation_targets(tokens, of_teacher, base ? &*of_base : nullptr, options, progress);
}

DistillationTargets distillation_targets(const at::Tensor& tokens, FinalStates& teacher_states,
                                         FinalStates* base_states,
                                         const DistillationOptions& options, Progress& progress) {
  const LlamaModel& teacher = teacher_states.model();
  const LlamaModel* base = base_states ? &base_states->model() : nullptr;
  const std::int64_t vocabulary = teacher.config().vocab_size;
  check_k("top_k", options.top_k, vocabulary);
  if (base) {
    check_k("push_top_k", options.push_top_k, vocabulary);
    if (base->config().vocab_size != vocabulary)
      throw Error("base",
                  fmt::format("a vocabulary of {} tokens, the model's has {}",
                              base->config().vocab_size, vocabulary),
                  "the model's own pre-trained counterpart", "name another base");
  }
  const at::NoGradGuard no_gradients;
  TargetWriter of_teacher(tokens, teacher, options.top_k);
  std::optional<TargetWriter> of_base;
  if (base) of_base.emplace(tokens, *base, options.push_top_k);
  const std::int64_t length = tokens.size(1);
  const std::int64_t batch = std::max<std::int64_t>(1, kPassTokens / length);
  const std::int64_t chunk = nll_chunk_tokens(vocabulary, at::kFloat);
  // One batch at a time, or as many as a teacher whose weights are on disk is best given.
  const std::int64_t together =
      std::max<std::int64_t>(1, teacher.tokens_together() / length / batch);
  for (std::int64_t group = 0; group < tokens.size(0); group += together * batch) {
    check_interrupted();
    const std::vector<at::Tensor> batches =
        tokens.slice(0, group, group + together * batch).split(batch);
    const std::vector<at::Tensor> states = teacher_states.of(batches, group);
    const std::vector<at::Tensor> states_of_base =
        base ? base_states->of(batches, group) : std::vector<at::Tensor>();
    for (std::size_t i = 0; i < batches.size(); ++i) {
      const std::int64_t begin = group + static_cast<std::int64_t>(i) * batch;
      const at::Tensor rows = states[i].flatten(0, 1);
      const at::Tensor rows_of_base = base ? states_of_base[i].flatten(0, 1) : at::Tensor();
      for (std::int64_t row = 0; row < rows.size(0); row += chunk) {
        const at::Tensor logits = teacher.head(rows.slice(0, row, row + chunk));
        const std::int64_t first = begin * length + row;
        of_teacher.write(first, logits,
                         options.top_k > 0 ? top(logits, options.top_k) : at::Tensor());
        if (!base) continue;
        const at::Tensor base_logits = base->head(rows_of_base.slice(0, row, row + chunk));
        of_base->write(
            first, base_logits,
            options.push_top_k > 0
                ? push_indices(logits, base_logits, options.push_subset, options.push_top_k)
                : at::Tensor());
      }
      progress.update("targets, sequences",
                      static_cast<double>(std::min(begin + batch, tokens.size(0))),
                      static_cast<double>(tokens.size(0)));
    }
  }
  teacher_states.keep();
  if (base) base_states->keep();
  return {of_teacher.take(), of_base ? of_base->take() : SubsetTargets()};
}

KeptTargets::KeptTargets(const std::filesystem::path& folder, const std::string& what)
    : key_(sha256(what)) {
  if (!folder.empty()) file_ = folder / (key_ + ".safetensors");
}

std::optional<SubsetTargets> KeptTargets::find() const {
  const auto kept = find_kept_tensors(file_, key_, kKept);
  if (!kept) return std::nullopt;
  return SubsetTargets{kept->entries().count("indices") ? kept->load("indices") : at::Tensor(),
                       kept->load("logits"), kept->load("log_sum_exp")};
}

void KeptTargets::keep(const SubsetTargets& targets) const {
  if (file_.empty()) return;
  std::map<std::string, at::Tensor> tensors = {{"logits", targets.logits},
                                               {"log_sum_exp", targets.log_sum_exp}};
  if (targets.indices.defined()) tensors["indices"] = targets.indices;
  std::filesystem::create_directories(file_.parent_path());
  keep_tensors(file_, key_, kKept, tensors);
}

DistillationTargets stored_targets(
    const std::filesystem::path& folder, const std::string& inputs,
    const DistillationOptions& options, std::int64_t vocabulary,
    const std::function<DistillationTargets(const DistillationOptions&)>& make) {
  DistillationOptions kept = options;
  kept.top_k = kept_k(options.top_k, vocabulary);
  kept.push_top_k = kept_k(options.push_top_k, vocabulary);
  const KeptTargets teacher(folder, fmt::format("teacher 2\n{}\ntop {}", inputs, kept.top_k));
  const KeptTargets base(folder,
                         fmt::format("base 2\n{}\nsubset {}\ntop {}", inputs,
                                     static_cast<int>(options.push_subset), kept.push_top_k));
  const bool pushes = options.alpha != 0;
  std::optional<SubsetTargets> of_teacher = teacher.find(), of_base;
  if (pushes) of_base = base.find();
  if (!of_teacher || (pushes && !of_base)) {
    // The push's subset needs both models' logits, where only the teacher's targets are kept too.
    DistillationTargets made = make(kept);
    if (!of_teacher) teacher.keep(*(of_teacher = std::move(made.teacher)));
    if (pushes && !of_base) base.keep(*(of_base = std::move(made.base)));
  }
  return {first_of(*of_teacher, options.top_k),
          of_base ? first_of(*of_base, options.push_top_k) : SubsetTargets()};
}

std::vector<TrainingLoss::Term> Distillation::terms() const {
  std::vector<Term> terms = {{"pull", 1}};
  if (options_.alpha != 0) terms.push_back({"push", -options_.alpha});
  return terms;
}

at::Tensor Distillation::backward(const at::Tensor& logits, std::int64_t sequence,
                                  std::int64_t first, at::Tensor& sums) const {
  std::vector<DivergenceFrom> from;
  for (const Term& term : terms()) {
    const SubsetTargets& targets = from.empty() ? targets_.teacher : targets_.base;
    auto rows = [&](const at::Tensor& all) {
      return all[sequence].narrow(0, first, logits.size(0));
    };
    DivergenceFrom each{.logits = rows(targets.logits),
                        .log_sum_exp = rows(targets.log_sum_exp),
                        .weight = term.weight};
    if (targets.indices.defined())
      each.indices = unpacked_indices(rows(targets.indices), targets.indices.device());
    from.push_back(std::move(each));
  }
  return divergence_gradient(logits, from, options_.renormalise, sums);
}

}  // namespace harness
