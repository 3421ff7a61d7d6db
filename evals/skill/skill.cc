#include "harness/plugin/decision_eval.h"
#include "harness/plugin/plugins.h"

namespace harness {
namespace {

/// Recall of facts that the texts tell: README.md in this folder.
class Skill : public DecisionEval {
 public:
  explicit Skill(DecisionOptions options)
      : DecisionEval("skill", {DecisionTask::recall}, std::move(options)) {}

  int version() const override { return 2; }

  std::vector<Metric> run(EvalContext& context) const override {
    const DecisionSet set = load(DecisionTask::recall, context);
    const std::vector<OptionScores> scores = score_options(context, set);
    std::vector<double> correct;
    for (std::size_t i = 0; i < set.items.size(); ++i) {
      correct.push_back(best_option(scores[i].logits) == set.items[i].answer ? 1 : 0);
      add_choice(context, set.items[i], correct.back(), scores[i], {});
    }
    return {mean_metric("skill", correct, set.items)};
  }
};

}  // namespace
}  // namespace harness

void register_skill(harness::Plugins& plugins) {
  plugins.add_eval<harness::Skill, harness::DecisionOptions>(
      "skill", "Facts of the model's pair, recalled among four options.");
}
