#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/log.h"
#include "harness/model/llama.h"
#include "harness/quant/final_states.h"

// What a transform is trained on: a loss over the logits of the calibration text's positions. The
// trainer hands it the logits some tokens at a time, so that no more than that many float32 copies
// of a whole vocabulary are ever held (methods.md section 6, "Cost").

namespace harness {

/// A loss and its gradient, position by position. Positions are those of the calibration text
/// [sequences, length]; the total is a weighted sum of terms, and its mean over the positions is
/// minimised.
class TrainingLoss {
 public:
  virtual ~TrainingLoss() = default;
  struct Term {
    std::string name;  // of its learning curve
    double weight;     // in the total
  };
  /// The first is the one that must not grow ("pull").
  virtual std::vector<Term> terms() const = 0;
  /// How many positions of a sequence have a loss: the first of them.
  virtual std::int64_t positions(std::int64_t length) const { return length; }
  /// @param logits   [n, vocabulary] of consecutive positions, in the model's dtype
  /// @param sequence of the calibration text
  /// @param first    position of the first row of logits
  /// @param sums     float64 [terms], where the logits are: what these positions add to each is
  ///                 added, and on CUDA not waited for
  /// @return the gradient of the weighted sum, of the shape and dtype of logits
  virtual at::Tensor backward(const at::Tensor& logits, std::int64_t sequence, std::int64_t first,
                              at::Tensor& sums) const = 0;
};

/// Next-token cross entropy on the calibration text (SpinQuant).
class CrossEntropy : public TrainingLoss {
 public:
  /// @param tokens int64 [sequences, length]
  explicit CrossEntropy(at::Tensor tokens) : tokens_(std::move(tokens)) {}
  std::vector<Term> terms() const override { return {{"cross_entropy", 1}}; }
  std::int64_t positions(std::int64_t length) const override { return length - 1; }
  at::Tensor backward(const at::Tensor& logits, std::int64_t sequence, std::int64_t first,
                      at::Tensor& sums) const override;

 private:
  at::Tensor tokens_;
};

/// What distillation keeps of an unquantized model's logits at the calibration text's positions:
/// those of a subset of the vocabulary, and how large all of them are together.
struct SubsetTargets {
  // [sequences, length, k], int16 (index - 32768) or int32, largest first; undefined: all
  at::Tensor indices;
  at::Tensor logits;       // [sequences, length, k] in the model's dtype
  at::Tensor log_sum_exp;  // [sequences, length] over the whole vocabulary; float32 or float64
};

/// int64 [...] of SubsetTargets::indices, on a device.
at::Tensor unpacked_indices(const at::Tensor& packed, at::Device device);

/// Which of the vocabulary the push looks at (S_diff of methods.md section 6).
enum class PushSubset {
  probability_difference,  // top-k of |p_FT - p_PT|: the paper
  logit_difference,        // top-k of |logits of FT - logits of PT|: `contrastive_kl_exp0_K`
  base_probability,        // top-k of p_PT: `contrastive_kl_top`
};

struct DistillationOptions {
  std::int64_t top_k = 1000;  // of the teacher; 0: the whole vocabulary
  bool renormalise = false;   // softmax over the subset, on both sides; else over the vocabulary
  double alpha = 0;           // weight of the push
  std::int64_t push_top_k = 500;  // 0: the whole vocabulary
  PushSubset push_subset = PushSubset::probability_difference;
};

/// What the loss needs of the teacher, and of the base where there is a push.
struct DistillationTargets {
  SubsetTargets teacher, base;
};

/// Runs the models over the calibration text, without gradients and a chunk of logits at a time.
/// @param tokens int64 [sequences, length]
/// @param base   null where alpha is 0
/// @throws Error when k is larger than the vocabulary, or the models have different ones
DistillationTargets distillation_targets(const at::Tensor& tokens, const LlamaModel& teacher,
                                         const LlamaModel* base, const DistillationOptions& options,
                                         Progress& progress);
/// The same by heads alone where the models' states are kept; else they are afterwards.
DistillationTargets distillation_targets(const at::Tensor& tokens, FinalStates& teacher,
                                         FinalStates* base, const DistillationOptions& options,
                                         Progress& progress);

/// One model's targets on disk (kept_tensors.h), for whoever comes with the same models and text.
class KeptTargets {
 public:
  /// @param folder empty: nothing is kept
  /// @param what   names all that the targets depend on
  KeptTargets(const std::filesystem::path& folder, const std::string& what);
  std::optional<SubsetTargets> find() const;
  void keep(const SubsetTargets& targets) const;

 private:
  std::string key_;
  std::filesystem::path file_;
};

/// Those targets, cut out of what earlier calls have kept in `folder` for the same models and text,
/// else made and kept. Kept are the 1024 most of the teacher and of the push, or more where more
/// are asked for: the k most of them are those of any smaller k, so that they serve every arm of a
/// sweep over k and alpha.
/// @param inputs     digest of the models and the text
/// @param vocabulary of the models
/// @param make       gives the targets of wider options
DistillationTargets stored_targets(
    const std::filesystem::path& folder, const std::string& inputs,
    const DistillationOptions& options, std::int64_t vocabulary,
    const std::function<DistillationTargets(const DistillationOptions&)>& make);

/// The subset of one chunk of positions that the push looks at. Logits [n, vocabulary] of the
/// aligned model and of the base. @return int64 [n, k]
at::Tensor push_indices(const at::Tensor& aligned, const at::Tensor& base, PushSubset subset,
                        std::int64_t k);

/// KL(teacher || student on the teacher's top-k) - alpha KL(base || student on the push's subset):
/// OSTQuant's loss (alpha = 0) and AAQ's. Without renormalisation neither is a true divergence, and
/// either can be negative.
class Distillation : public TrainingLoss {
 public:
  Distillation(DistillationTargets targets, const DistillationOptions& options)
      : targets_(std::move(targets)), options_(options) {}
  std::vector<Term> terms() const override;
  at::Tensor backward(const at::Tensor& logits, std::int64_t sequence, std::int64_t first,
                      at::Tensor& sums) const override;

 private:
  DistillationTargets targets_;
  DistillationOptions options_;
};

}  // namespace harness
