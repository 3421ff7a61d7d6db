// OSTQuant: methods.md section 5.

#include "harness/plugin/plugins.h"
#include "harness/plugin/transform_method.h"

namespace harness {
namespace {

struct OstQuantConfig {
  RotationTraining rotation{.init = "pca-hadamard"};
  SmoothingTraining smoothing;
  std::int64_t top_k = 1000;
  bool renormalise = false;

  template <class Visitor>
  void visit(Visitor&& v) {
    rotation.visit(v);
    smoothing.visit(v);
    v("top_k", top_k,
      Field{.doc = "of the unquantized model's logits, which are to be kept; 0: all", .min = 0});
    v("renormalise", renormalise,
      Field{.doc = "softmax over those k logits on both sides, as the paper writes; else over the "
                   "vocabulary, as its scripts run"});
  }
};

/// Rotations and scales trained to keep the unquantized model's most probable tokens.
class OstQuant : public Method {
 public:
  explicit OstQuant(const OstQuantConfig& config)
      : training_{config.rotation, config.smoothing},
        loss_{.top_k = config.top_k, .renormalise = config.renormalise} {}

  MethodTraits traits() const override {
    return {
        .transforms = true, .needs_calibration = true, .uses_seed = true, .block_by_block = true};
  }
  int version() const override { return 2; }
  void check(const Format& format, const LlamaConfig& config, Problems& problems) const override {
    check_transform_training(training_, format, config, "method ostquant", problems);
    check_distillation(loss_, config, "method ostquant", problems);
  }
  void apply(MethodContext& context) const override {
    train_and_fold(context, "ostquant", training_, distillation_of(context, loss_));
  }

 private:
  TransformTraining training_;
  DistillationOptions loss_;
};

}  // namespace
}  // namespace harness

void register_ostquant(harness::Plugins& plugins) {
  plugins.add_method<harness::OstQuant, harness::OstQuantConfig>(
      "ostquant",
      "rotations and scales trained on the model's own top logits, before weights are quantized");
}
