#include "harness/train/loss_criterion.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "harness/kernels/ops.h"

namespace harness {

LossCriterion::LossCriterion(std::shared_ptr<const ExampleSource> source, std::int64_t batches,
                             double loss_below)
    : source_(std::move(source)), batches_(batches), loss_below_(loss_below) {}

Criterion::Result LossCriterion::evaluate(const LlamaModel& model) const {
  double sum = 0;
  std::int64_t count = 0;
  for (std::int64_t index = 0; index < batches_; ++index) {
    const TrainBatch batch = source_->batch(index);
    const at::Tensor states = model.hidden(batch.tokens);
    for (std::int64_t row = 0; row < states.size(0); ++row) {
      const at::Tensor chosen = batch.targets[row].ge(0).nonzero().flatten();
      if (chosen.numel() == 0) continue;
      const at::Tensor logits = model.lm_head().apply(states[row].index_select(0, chosen));
      sum += token_nll(logits, batch.targets[row].index_select(0, chosen)).sum().item<double>();
      count += chosen.numel();
    }
  }
  const double loss = sum / static_cast<double>(count);
  return {{{"validation_loss", loss}}, loss < loss_below_};
}

std::string LossCriterion::canonical() const {
  return fmt::format("loss below {} on {} batches of {}", shortest(loss_below_), batches_,
                     source_->canonical());
}

}  // namespace harness
