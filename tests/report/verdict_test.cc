#include "harness/report/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/report/example_experiment.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class VerdictTest : public ::testing::Test {
 protected:
  std::vector<Verdict> verdicts() { return safety_verdicts(*store_, "trial"); }
  TemporaryFolder folder_;
  std::unique_ptr<ResultStore> store_ = ResultStore::open(folder_ / "results.sqlite");
};

TEST_F(VerdictTest, MethodsArePairedOverTrainingSeeds) {
  ExampleExperiment experiment(*store_);
  put_three_methods(experiment);
  const auto found = verdicts();
  ASSERT_EQ(found.size(), 1u);
  const Verdict& verdict = found[0];
  EXPECT_EQ(verdict.metric, "refusal");
  EXPECT_EQ(verdict.format, "w4a4kv4");  // what stands in brackets is the method's own
  EXPECT_EQ(verdict.arms[0].label, "AAQ");
  EXPECT_EQ(verdict.unquantized[0].label, "16 bits");
  EXPECT_EQ(verdict.lead.over, "paired over 3 training seeds");
  // Of t = 31 with two degrees of freedom: 1 - t / sqrt(2 + t^2).
  EXPECT_NEAR(verdict.lead.value, .0103333333333, 1e-12);
  EXPECT_NEAR(verdict.lead.p, 0.001038961319481, 1e-12);
  EXPECT_THAT(verdict.worse, ElementsAre("RTN"));
  EXPECT_THAT(verdict_text(verdict), HasSubstr("of 2 quantized rows AAQ has the highest refusal"));
  EXPECT_THAT(verdict_text(verdict), HasSubstr("beyond noise"));
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
  const Verdict verdict = verdicts().at(0);
  EXPECT_EQ(verdict.arms[0].label, "AAQ");
  EXPECT_THAT(verdict.not_told_apart, ElementsAre("RTN"));
  EXPECT_THAT(verdict.worse, IsEmpty());
  EXPECT_THAT(verdict_text(verdict), HasSubstr("within noise, so the two are not told apart"));
}

TEST_F(VerdictTest, WhereLessIsBetterTheLowestIsBest) {
  ExampleExperiment experiment(*store_);
  for (const auto& [label, value] : {std::pair("RTN", .3), std::pair("AAQ", .1)}) {
    experiment.put({.label = label, .model = "m"});
    experiment.measure("over_refusal", "o/1", {{"over_refusal", value, .01, 100}});
  }
  const Verdict verdict = verdicts().at(0);
  EXPECT_EQ(verdict.arms[0].label, "AAQ");
  EXPECT_NEAR(verdict.lead.value, -.2, 1e-12);
  // Normal: z = .2 / hypot(.01, .01) = 14.1
  EXPECT_NEAR(verdict.lead.interval.high, -.2 + 1.959963984540054 * std::hypot(.01, .01), 1e-12);
  EXPECT_LT(verdict.lead.p, 1e-40);
  EXPECT_THAT(verdict.lead.over, HasSubstr("as if independent"));
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

TEST(PTextTest, IsShortAndHonest) {
  EXPECT_EQ(p_text(.0004), "< .001");
  EXPECT_EQ(p_text(.0123), ".012");
  EXPECT_EQ(p_text(.456), ".46");
  EXPECT_EQ(p_text(1), "1");
  EXPECT_EQ(p_text(std::nan("")), "unknown");
}

}  // namespace
}  // namespace harness::test
