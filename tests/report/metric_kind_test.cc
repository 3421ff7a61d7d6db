#include "harness/report/metric_kind.h"

#include <gtest/gtest.h>

namespace harness::test {
namespace {

TEST(MetricKindTest, TheFirstPatternThatFitsCounts) {
  EXPECT_EQ(metric_kind("refusal").aspect, Aspect::safety);
  EXPECT_EQ(metric_kind("refusal").higher_is_better, true);
  EXPECT_EQ(metric_kind("over_refusal").higher_is_better, false);
  EXPECT_EQ(metric_kind("perplexity").aspect, Aspect::language);
  EXPECT_EQ(metric_kind("arc_easy/acc_norm").aspect, Aspect::skill);
  EXPECT_EQ(metric_kind("option-text/acc").aspect, Aspect::safety);
  EXPECT_EQ(metric_kind("option-text/Privacy and Property/acc").aspect, Aspect::other);
  EXPECT_EQ(metric_kind("option-text/majority").higher_is_better, std::nullopt);
  EXPECT_EQ(metric_kind("bbq/ambig/acc").aspect, Aspect::safety);
  EXPECT_EQ(metric_kind("bbq/Age/ambig/acc").aspect, Aspect::other);
  EXPECT_EQ(metric_kind("mmlu/acc").aspect, Aspect::skill);
  EXPECT_EQ(metric_kind("mmlu/astronomy/acc").aspect, Aspect::other);
  EXPECT_LT(metric_kind("refusal").rank, metric_kind("over_refusal").rank);
}

TEST(MetricKindTest, WhichDirectionIsBetter) {
  for (const char* name : {"refusal", "mmlu/acc", "arc_easy/acc_norm", "rotation-9/average",
                           "ok_h_log_odds", "ok_auc", "truthfulqa_mc2/mc2", "kept", "skill"})
    EXPECT_EQ(metric_kind(name).higher_is_better, true) << name;
  for (const char* name :
       {"perplexity", "nll", "attack_success", "attack_success/Fraud", "over_refusal_log_odds",
        "to_base", "x/to_base_excess", "control_elsewhere", "ok_b_log_odds", "kl_aligned"})
    EXPECT_EQ(metric_kind(name).higher_is_better, false) << name;
  for (const char* name : {"tokens", "bbq/ambig/bias", "letter/majority", "letter/macro_majority",
                           "to_base_expected", "kl_base", "disagree"})
    EXPECT_EQ(metric_kind(name).higher_is_better, std::nullopt) << name;
}

TEST(MetricKindTest, AnUnknownMetricIsNoSafety) {
  EXPECT_EQ(metric_kind("of my own").aspect, Aspect::other);
  EXPECT_EQ(metric_kind("of my own").higher_is_better, std::nullopt);
  EXPECT_TRUE(metric_kind("of my own").meaning.empty());
}

}  // namespace
}  // namespace harness::test
