// AAQ: methods.md section 6.

#include <cassert>
#include <optional>

#include "harness/plugin/plugins.h"
#include "harness/plugin/transform_method.h"

namespace harness {
namespace {

struct AaqConfig {
  RotationTraining rotation{.init = "pca-hadamard"};
  SmoothingTraining smoothing;
  std::string variant = "paper";
  double alpha = 0.75;
  std::optional<std::int64_t> top_k, push_top_k;
  std::optional<bool> renormalise;
  std::optional<std::string> push_subset;

  template <class Visitor>
  void visit(Visitor&& v) {
    rotation.visit(v);
    smoothing.visit(v);
    v("variant", variant,
      Field{.doc = "paper: k = 500 both, the push on the largest |p_FT - p_PT|, renormalised; "
                   "released: 1000 and 500, the largest |logit differences|, not renormalised",
            .choices = {"paper", "released"}});
    v("alpha", alpha, Field{.doc = "weight of the push away from the base", .min = 0});
    v("top_k", top_k,
      Field{.doc = "of the aligned model's logits, which are to be kept; 0: all", .min = 0});
    v("push_top_k", push_top_k, Field{.doc = "tokens that the push looks at; 0: all", .min = 0});
    v("renormalise", renormalise,
      Field{.doc = "softmax over each subset on both sides; else over the vocabulary"});
    v("push_subset", push_subset,
      Field{.doc = "by what the push's tokens are the largest; base: the base's probability",
            .choices = {"probability-difference", "logit-difference", "base"}});
  }

  DistillationOptions loss() const {
    const bool paper = variant == "paper";
    const std::string by =
        push_subset.value_or(paper ? "probability-difference" : "logit-difference");
    return {.top_k = top_k.value_or(paper ? 500 : 1000),
            .renormalise = renormalise.value_or(paper),
            .alpha = alpha,
            .push_top_k = push_top_k.value_or(500),
            .push_subset = by == "base"               ? PushSubset::base_probability
                           : by == "logit-difference" ? PushSubset::logit_difference
                                                      : PushSubset::probability_difference};
  }
};

/// Rotations and scales trained to stay near the aligned model and away from its base.
class Aaq : public Method {
 public:
  explicit Aaq(const AaqConfig& config)
      : training_{config.rotation, config.smoothing}, loss_(config.loss()) {}

  MethodTraits traits() const override {
    return {.transforms = true,
            .needs_calibration = true,
            .needs_base = loss_.alpha != 0,
            .uses_seed = true,
            .block_by_block = true};
  }
  int version() const override { return 2; }
  void check(const Format& format, const LlamaConfig& config, Problems& problems) const override {
    check_transform_training(training_, format, config, "method aaq", problems);
    check_distillation(loss_, config, "method aaq", problems);
  }
  void apply(MethodContext& context) const override {
    train_and_fold(context, "aaq", training_, distillation_of(context, loss_));
  }

 private:
  TransformTraining training_;
  DistillationOptions loss_;
};

}  // namespace
}  // namespace harness

void register_aaq(harness::Plugins& plugins) {
  plugins.add_method<harness::Aaq, harness::AaqConfig>(
      "aaq",
      "as ostquant, with a push away from the pre-trained base where it differs from the model");
}
