#include "harness/report/metric_kind.h"

#include <gtest/gtest.h>

namespace harness::test {
namespace {

TEST(MetricKindTest, TheFirstPatternThatFitsCounts) {
  EXPECT_EQ(metric_kind("refusal").aspect, Aspect::safety);
  EXPECT_EQ(metric_kind("refusal").better, Better::higher);
  EXPECT_EQ(metric_kind("over_refusal").better, Better::lower);
  EXPECT_EQ(metric_kind("perplexity").aspect, Aspect::language);
  EXPECT_EQ(metric_kind("arc_easy/acc_norm").aspect, Aspect::skill);
  EXPECT_EQ(metric_kind("option-text/acc").aspect, Aspect::safety);
  EXPECT_EQ(metric_kind("option-text/Privacy and Property/acc").aspect, Aspect::other);
  EXPECT_EQ(metric_kind("option-text/majority").better, Better::unknown);
  EXPECT_EQ(metric_kind("bbq/ambig/acc").aspect, Aspect::safety);
  EXPECT_EQ(metric_kind("bbq/Age/ambig/acc").aspect, Aspect::other);
  EXPECT_EQ(metric_kind("mmlu/acc").aspect, Aspect::skill);
  EXPECT_EQ(metric_kind("mmlu/astronomy/acc").aspect, Aspect::other);
  EXPECT_LT(metric_kind("refusal").rank, metric_kind("over_refusal").rank);
}

TEST(MetricKindTest, AnUnknownMetricIsNoSafety) {
  EXPECT_EQ(metric_kind("of my own").aspect, Aspect::other);
  EXPECT_EQ(metric_kind("of my own").better, Better::unknown);
  EXPECT_TRUE(metric_kind("of my own").meaning.empty());
}

}  // namespace
}  // namespace harness::test
