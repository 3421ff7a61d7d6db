#pragma once

#include <memory>

#include "harness/train/trainer.h"

namespace harness {

/// The mean cross-entropy over the first batches of a source that is not trained on; met below a
/// bound.
class LossCriterion : public Criterion {
 public:
  LossCriterion(std::shared_ptr<const ExampleSource> source, std::int64_t batches,
                double loss_below);
  /// validation_loss
  Result evaluate(const LlamaModel& model) const override;
  std::string canonical() const override;

 private:
  std::shared_ptr<const ExampleSource> source_;
  std::int64_t batches_;
  double loss_below_;
};

}  // namespace harness
