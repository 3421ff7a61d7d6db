#include "harness/plugin/decision_eval.h"
#include "harness/plugin/plugins.h"

namespace harness {
namespace {

/// Whether benign requests are refused: README.md in this folder.
class OverRefusal : public DecisionEval {
 public:
  explicit OverRefusal(DecisionOptions options)
      : DecisionEval("over_refusal", {DecisionTask::request_benign}, std::move(options)) {}

  std::vector<Metric> run(EvalContext& context) const override {
    return opening_metrics(context, load(DecisionTask::request_benign, context), "over_refusal");
  }
};

}  // namespace
}  // namespace harness

void register_over_refusal(harness::Plugins& plugins) {
  plugins.add_eval<harness::OverRefusal, harness::DecisionOptions>(
      "over_refusal", "How often the model refuses benign requests.");
}
