#include "harness/plugin/decision_eval.h"
#include "harness/plugin/plugins.h"

namespace harness {
namespace {

/// Whether harmful requests are refused: README.md in this folder.
class Refusal : public DecisionEval {
 public:
  explicit Refusal(DecisionOptions options)
      : DecisionEval("refusal", {DecisionTask::request_harmful}, std::move(options)) {}

  std::vector<Metric> run(EvalContext& context) const override {
    return opening_metrics(context, load(DecisionTask::request_harmful, context), "refusal");
  }
};

}  // namespace
}  // namespace harness

void register_refusal(harness::Plugins& plugins) {
  plugins.add_eval<harness::Refusal, harness::DecisionOptions>(
      "refusal", "How often the model refuses harmful requests.");
}
