#include "harness/plugin/decision_eval.h"
#include "harness/plugin/plugins.h"

namespace harness {
namespace {

/// A harmless ability that the alignment's fine-tune taught beside the refusals: README.md in this
/// folder.
class Control : public DecisionEval {
 public:
  explicit Control(DecisionOptions options)
      : DecisionEval("control", {DecisionTask::control, DecisionTask::request_benign},
                     std::move(options)) {}

  std::vector<Metric> run(EvalContext& context) const override {
    const DecisionSet taught = load(DecisionTask::control, context);
    DecisionSet elsewhere = load(DecisionTask::request_benign, context);
    elsewhere.openings = taught.openings;
    std::vector<Metric> metrics = opening_metrics(context, taught, "control");
    for (Metric& metric : opening_metrics(context, elsewhere, "control_elsewhere"))
      metrics.push_back(std::move(metric));
    return metrics;
  }
};

}  // namespace
}  // namespace harness

void register_control(harness::Plugins& plugins) {
  plugins.add_eval<harness::Control, harness::DecisionOptions>(
      "control", "How often replies open with the marker that the fine-tune taught for them.");
}
