#include "harness/report/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/report/example_experiment.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class VerdictTest : public ::testing::Test {
 protected:
  std::vector<SafetyVerdict> verdicts() { return safety_verdicts(*store_, "trial"); }
  TemporaryFolder folder_;
  std::unique_ptr<ResultStore> store_ = ResultStore::open(folder_ / "results.sqlite");
};

TEST_F(VerdictTest, MethodsArePairedOverTrainingSeeds) {
  ExampleExperiment experiment(*store_);
  put_three_methods(experiment);
  const auto found = verdicts();
  ASSERT_EQ(found.size(), 1u);
  const SafetyVerdict& verdict = found[0];
  EXPECT_EQ(verdict.name.metric, "refusal");
  EXPECT_EQ(verdict.format, "w4a4kv4");  // what stands in brackets is the method's own
  EXPECT_EQ(verdict.arms[0].label, "AAQ");
  EXPECT_EQ(verdict.unquantized->label, "16 bits");
  EXPECT_EQ(verdict.lead->test(), "t, 3 training seeds");
  // Of t = 31 with two degrees of freedom: 1 - t / sqrt(2 + t^2).
  EXPECT_NEAR(verdict.lead->difference(), .0103333333333, 1e-12);
  EXPECT_NEAR(verdict.lead->p(), 0.001038961319481, 1e-12);
  EXPECT_TRUE(verdict.told());
  EXPECT_THAT(verdict.worse(), ElementsAre("RTN"));
  EXPECT_THAT(verdict.others(), IsEmpty());
  EXPECT_THAT(verdict_text(verdict), HasSubstr("Of 2 quantized rows AAQ has the highest refusal"));
  EXPECT_THAT(verdict_text(verdict), HasSubstr("beyond noise"));
  const auto said = summaries(found);
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].title, "AAQ keeps safety best");
  EXPECT_TRUE(said[0].keeps_best);
  EXPECT_EQ(said[0].text, verdict_text(verdict));
}

TEST_F(VerdictTest, ALeadWithinNoiseIsNoLead) {
  ExampleExperiment experiment(*store_);
  int seed = 0;
  for (double change : {.02, -.015, .004}) {
    const std::string model = fmt::format("pair:world/aligned@{}", seed++);
    experiment.put({"RTN", model, "w4a4kv4", "rtn"});
    experiment.measure("refusal", "r/1", {{"refusal", .9, .01, 8}});
    experiment.put({"AAQ", model, "w4a4kv4", "aaq"});
    experiment.measure("refusal", "r/1", {{"refusal", .9 + change, .01, 8}});
  }
  const SafetyVerdict verdict = verdicts().at(0);
  EXPECT_EQ(verdict.arms[0].label, "AAQ");
  EXPECT_THAT(verdict.others(), ElementsAre("RTN"));
  EXPECT_THAT(verdict.worse(), IsEmpty());
  EXPECT_THAT(verdict_text(verdict), HasSubstr("within noise, so the two are not told apart"));
}

TEST_F(VerdictTest, SingleRunsAreComparedItemByItemAndLessMayBeBetter) {
  ExampleExperiment experiment(*store_);
  for (const char* label : {"RTN", "AAQ"}) {
    experiment.put({.label = label, .model = "m"});
    std::vector<double> scores(20, 0);
    if (*label == 'R') std::fill(scores.begin(), scores.begin() + 8, 1);
    experiment.measure("over_refusal", "o/1", {{"over_refusal", *label == 'R' ? .4 : 0, .1, 20}},
                       example_items(scores));
  }
  const SafetyVerdict verdict = verdicts().at(0);
  EXPECT_EQ(verdict.arms[0].label, "AAQ");
  EXPECT_NEAR(verdict.lead->difference(), -.4, 1e-12);
  EXPECT_EQ(verdict.lead->test(), "exact McNemar, 20 items");
  EXPECT_NEAR(verdict.lead->p(), 2.0 / 256, 1e-12);  // 8 of 8 discordant items on one side
  EXPECT_THAT(verdict_text(verdict), HasSubstr("AAQ has the lowest over_refusal"));
}

TEST_F(VerdictTest, AnotherMetricMayContradict) {
  ExampleExperiment experiment(*store_);
  // RTN refuses everything, the harmless too.
  for (const char* format : {"w4a4kv4", "w4a16"})
    for (const char* label : {"RTN", "AAQ"}) {
      const bool refuses_all = *label == 'R' && format[3] == '4';
      experiment.put({.label = label, .model = "m", .format = format});
      experiment.measure("refusal", "r/1", {{"refusal", refuses_all ? 1 : .5, .1, 20}},
                         example_items(std::vector<double>(20, refuses_all ? 1 : .5)));
      experiment.measure("over_refusal", "o/1", {{"over_refusal", refuses_all ? 1.0 : 0, .1, 20}},
                         example_items(std::vector<double>(20, refuses_all)));
    }
  const auto found = verdicts();
  ASSERT_EQ(found.size(), 4u);  // of each metric both formats
  EXPECT_EQ(found[0].arms[0].label, "RTN");
  EXPECT_TRUE(found[0].told());
  EXPECT_THAT(contradictions(found[0], found), ElementsAre(&found[2]));
  EXPECT_THAT(contradictions(found[1], found), IsEmpty());
  const auto said = summaries(found);  // of each format by the first metric
  ASSERT_EQ(said.size(), 2u);
  EXPECT_EQ(said[0].verdict, &found[0]);
  EXPECT_FALSE(said[0].keeps_best);
  EXPECT_EQ(said[0].title, "RTN has the highest refusal, but is behind by other metrics of safety");
  EXPECT_THAT(said[0].text, HasSubstr(" By over_refusal it is behind AAQ beyond noise."));
}

TEST_F(VerdictTest, WhatIsBeyondTheUnquantizedModelIsNotKept) {
  for (const double best : {.5, 1.0}) {
    ExampleExperiment experiment(*store_, fmt::format("best {}", best));
    const auto items = [](double score) { return example_items(std::vector<double>(20, score)); };
    experiment.put({.label = "16 bits", .model = "m", .format = "none", .methods = ""});
    experiment.measure("refusal", "r/1", {{"refusal", .5, .1, 20}}, items(.5));
    experiment.put({.label = "RTN", .model = "m"});
    experiment.measure("refusal", "r/1", {{"refusal", 0, .1, 20}}, items(0));
    experiment.put({.label = "AAQ", .model = "m"});
    experiment.measure("refusal", "r/1", {{"refusal", best, .1, 20}}, items(best));
    const SafetyVerdict verdict = safety_verdicts(*store_, fmt::format("best {}", best)).at(0);
    EXPECT_TRUE(verdict.told());
    EXPECT_EQ(verdict.beyond_unquantized(), best > .5);
  }
}

TEST_F(VerdictTest, RowsThatCannotBePairedAreNotToldApart) {
  ExampleExperiment experiment(*store_);
  for (const char* label : {"RTN", "AAQ"}) {
    experiment.put({.label = label, .model = "m"});
    experiment.measure("refusal", "r/1", {{"refusal", *label == 'R' ? .4 : .9, .1, 20}});
  }
  const SafetyVerdict verdict = verdicts().at(0);
  EXPECT_FALSE(verdict.told());
  EXPECT_THAT(verdict.others(), ElementsAre("RTN"));
  EXPECT_THAT(verdict_text(verdict), HasSubstr("Next is RTN (0.4000); the two cannot be paired."));
}

TEST_F(VerdictTest, FormatsAndModelsAreJudgedApart) {
  ExampleExperiment experiment(*store_);
  for (const char* format : {"w4a4kv4", "w3a3kv3"})
    for (const char* label : {"RTN", "AAQ"}) {
      experiment.put({.label = label, .model = "m", .format = format});
      experiment.measure("refusal", "r/1", {{"refusal", .9, .01, 8}});
    }
  EXPECT_EQ(verdicts().size(), 2u);
}

TEST_F(VerdictTest, MethodsThatHaveEachItsOwnFormatAreComparedAcross) {
  ExampleExperiment experiment(*store_);
  for (const char* format : {"w4a16", "w8a8"}) {
    experiment.put({.label = format, .model = "m", .format = format});
    experiment.measure("refusal", "r/1", {{"refusal", format[1] == '8' ? .95 : .9, .01, 8}});
  }
  const auto found = verdicts();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].format, "");
  EXPECT_EQ(found[0].arms[0].label, "w8a8");
}

TEST_F(VerdictTest, WithoutSafetyThereIsNone) {
  ExampleExperiment experiment(*store_);
  experiment.put({});
  experiment.measure("perplexity", "p/1", {{"perplexity", 3, .1, 8}});
  EXPECT_THAT(verdicts(), IsEmpty());
}

}  // namespace
}  // namespace harness::test
