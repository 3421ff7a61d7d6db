#include "harness/report/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/support/support.h"

namespace harness::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

/// Values of scipy and statsmodels: tests/golden/statistics/generate.py.
const json& oracle() {
  static const json golden_values = json::parse(read_file(golden("statistics/golden.json")));
  return golden_values;
}

std::vector<double> doubles(const json& values) { return values.get<std::vector<double>>(); }
std::vector<std::string> strings(const json& values) {
  return values.get<std::vector<std::string>>();
}
/// Each value a cluster by itself.
std::vector<std::string> independent(std::size_t count) { return std::vector<std::string>(count); }

TEST(StatisticsTest, MeanAndSpreadOfKnownValues) {
  const std::vector<double> values = {2, 4, 4, 4, 5, 5, 7, 9};
  EXPECT_DOUBLE_EQ(mean(values), 5);
  EXPECT_DOUBLE_EQ(standard_deviation(values), std::sqrt(32.0 / 7));
  EXPECT_DOUBLE_EQ(standard_error_of_mean(values), std::sqrt(32.0 / 7 / 8));
}

TEST(StatisticsTest, ASpreadOfLargeNearValuesIsNotLost) {
  EXPECT_DOUBLE_EQ(standard_deviation({1e9 + 1, 1e9 + 2, 1e9 + 3}), 1);
}

TEST(StatisticsTest, TooFewValuesHaveNoSpread) {
  EXPECT_TRUE(std::isnan(mean({})));
  EXPECT_EQ(mean({3}), 3);
  EXPECT_TRUE(std::isnan(standard_deviation({3})));
  EXPECT_TRUE(std::isnan(standard_error_of_mean({3})));
}

TEST(StatisticsTest, ClustersOfOneAreIndependentValues) {
  const std::vector<double> values = {2, 4, 4, 4, 5, 5, 7, 9};
  const double expected = standard_error_of_mean(values);
  EXPECT_DOUBLE_EQ(clustered_standard_error(values, independent(8)), expected);
  EXPECT_DOUBLE_EQ(clustered_standard_error(values, {"a", "b", "c", "d", "e", "f", "g", "h"}),
                   expected);
}

TEST(StatisticsTest, ClustersCountOnce) {
  // Residuals -2, -1, 1, 2: clusters sum to -3 and 3, so sqrt(2 / 1 * 18) / 4.
  EXPECT_DOUBLE_EQ(clustered_standard_error({1, 2, 4, 5}, {"a", "a", "b", "b"}), 1.5);
  EXPECT_TRUE(std::isnan(clustered_standard_error({1, 2}, {"a", "a"})));
}

TEST(StatisticsTest, ClusteredErrorsAreThoseOfStatsmodels) {
  for (const json& c : oracle()["clustered"])
    EXPECT_NEAR(clustered_standard_error(doubles(c["values"]), strings(c["clusters"])),
                c["standard_error"], 1e-12);
}

TEST(McNemarTest, IsThatOfStatsmodels) {
  for (const json& c : oracle()["mcnemar"])
    EXPECT_NEAR(mcnemar_test(c["higher"], c["lower"]), c["p"], 1e-12) << c;
}

TEST(McNemarTest, NoDiscordantItemIsNoEvidence) { EXPECT_EQ(mcnemar_test(0, 0), 1); }

TEST(CountsIntervalTest, IsThatOfResampledItems) {
  for (const json& c : oracle()["counts"]) {
    const Interval interval = counts_interval(c["higher"], c["lower"], c["items"]);
    EXPECT_DOUBLE_EQ(interval.low, c["interval"][0]) << c;
    EXPECT_DOUBLE_EQ(interval.high, c["interval"][1]) << c;
  }
}

TEST(CountsIntervalTest, IsTheOtherWayRoundForTheOtherDirection) {
  const Interval one = counts_interval(12, 5, 200), other = counts_interval(5, 12, 200);
  EXPECT_DOUBLE_EQ(one.low, -other.high);
  EXPECT_DOUBLE_EQ(one.high, -other.low);
}

TEST(CountsIntervalTest, NoDiscordantItemLeavesWhatItsShareMayBe) {
  const Interval interval = counts_interval(0, 0, 100);
  EXPECT_NEAR(interval.high, 0.0362, 1e-4);  // Clopper and Pearson's limit of 0 of 100
  EXPECT_DOUBLE_EQ(interval.low, -interval.high);
  EXPECT_NEAR(std::pow(1 - interval.high, 100), 0.025, 1e-12);
  EXPECT_TRUE(std::isnan(counts_interval(0, 0, 0).low));
}

TEST(CountsIntervalTest, AllItemsOnOneSideLeaveNoDoubtToTheBootstrap) {
  const Interval interval = counts_interval(4, 0, 4);
  EXPECT_EQ(interval.low, 1);
  EXPECT_EQ(interval.high, 1);
}

TEST(ClusterBootstrapTest, IsThatOfManyMoreDraws) {
  for (const json& c : oracle()["clustered"]) {
    const Interval interval = cluster_bootstrap(doubles(c["values"]), strings(c["clusters"]));
    const double low = c["interval"][0], high = c["interval"][1];
    EXPECT_NEAR(interval.low, low, 0.03 * (high - low));
    EXPECT_NEAR(interval.high, high, 0.03 * (high - low));
  }
}

TEST(ClusterBootstrapTest, RepeatsToTheBit) {
  const json& c = oracle()["clustered"][4];
  const Interval once = cluster_bootstrap(doubles(c["values"]), strings(c["clusters"]));
  const Interval again = cluster_bootstrap(doubles(c["values"]), strings(c["clusters"]));
  EXPECT_EQ(once.low, again.low);
  EXPECT_EQ(once.high, again.high);
}

TEST(ClusterBootstrapTest, OneClusterOrAValueThatIsNotFiniteIsUnknown) {
  EXPECT_TRUE(std::isnan(cluster_bootstrap({1, 2, 3}, {"a", "a", "a"}).low));
  EXPECT_TRUE(std::isnan(cluster_bootstrap({1, std::nan("")}, independent(2)).high));
  EXPECT_TRUE(std::isnan(cluster_bootstrap({}, {}).low));
}

TEST(SignFlipTest, IsThatOfScipy) {
  for (const json& c : oracle()["clustered"]) {
    const double found = sign_flip_test(doubles(c["values"]), strings(c["clusters"]));
    const double p = c["p"];
    // Of 10,000 draws; the oracle's own are at most as uncertain.
    const double tolerance = c["exact"] ? 1e-12 : 5 * std::sqrt(p * (1 - p) / 10'000) + 1e-4;
    EXPECT_NEAR(found, p, tolerance);
  }
}

TEST(SignFlipTest, FiveSignsAlikeAreTwoOfThirtyTwo) {
  EXPECT_EQ(sign_flip_test({.1, .2, .1, .3, .2}, independent(5)), 2.0 / 32);
  EXPECT_EQ(sign_flip_test({-.1, -.2, -.1, -.3, -.2}, independent(5)), 2.0 / 32);
}

TEST(SignFlipTest, ClustersFlipWhole) {
  EXPECT_EQ(sign_flip_test({1, 1, 1, 1, 1, 1}, {"a", "a", "b", "b", "c", "c"}), 2.0 / 8);
}

TEST(SignFlipTest, TiesDoNotCountAndNothingElseIsNoEvidence) {
  EXPECT_EQ(sign_flip_test({1, 0, 0, 1, 0, 1}, independent(6)), 2.0 / 8);
  EXPECT_EQ(sign_flip_test({0, 0, 0}, independent(3)), 1);
}

TEST(SignFlipTest, ManyClustersNeverHaveAProbabilityOfZero) {
  EXPECT_DOUBLE_EQ(sign_flip_test(std::vector<double>(100, 1), independent(100)), 1.0 / 10'001);
}

TEST(SignFlipTest, OneClusterOrAValueThatIsNotFiniteIsUnknown) {
  EXPECT_TRUE(std::isnan(sign_flip_test({1, 2}, {"a", "a"})));
  EXPECT_TRUE(std::isnan(sign_flip_test({1, std::nan("")}, independent(2))));
}

TEST(NeighbourBlocksTest, AreTheCubeRootLong) {
  EXPECT_EQ(neighbour_blocks(7),
            (std::vector<std::string>{"block 0", "block 1", "block 2", "block 3", "block 4",
                                      "block 5", "block 6"}));
  const std::vector<std::string> blocks = neighbour_blocks(27);  // a whole cube
  EXPECT_EQ(blocks[2], "block 0");
  EXPECT_EQ(blocks[3], "block 1");
  EXPECT_EQ(blocks[26], "block 8");
  EXPECT_EQ(neighbour_blocks(166).back(), "block 33");  // 5 long, the last of one
}

TEST(TTestTest, IsThatOfScipy) {
  for (const json& c : oracle()["t"]) {
    const TTest test = t_test(doubles(c["values"]));
    EXPECT_NEAR(test.mean, c["mean"], 1e-12);
    EXPECT_NEAR(test.standard_deviation, c["sd"], 1e-12);
    EXPECT_NEAR(test.t, c["t"], 1e-9);
    EXPECT_NEAR(test.p, c["p"], 1e-12);
    EXPECT_NEAR(test.interval.low, c["interval"][0], 1e-10);
    EXPECT_NEAR(test.interval.high, c["interval"][1], 1e-10);
  }
}

TEST(TTestTest, NothingIsSaidWhereThereIsNoSpread) {
  EXPECT_TRUE(std::isnan(t_test({.5}).p));
  EXPECT_TRUE(std::isnan(t_test({.5, .5, .5}).p));
  EXPECT_TRUE(std::isnan(t_test({.5, .5, .5}).interval.low));
  EXPECT_EQ(t_test({0, 0, 0}).p, 1);
  EXPECT_TRUE(std::isnan(t_test({1, 2, std::nan("")}).p));
}

TEST(HolmTest, IsThatOfStatsmodels) {
  for (const json& c : oracle()["holm"]) {
    const std::vector<double> adjusted = holm(doubles(c["p"]));
    ASSERT_EQ(adjusted.size(), c["adjusted"].size());
    for (std::size_t i = 0; i < adjusted.size(); ++i)
      EXPECT_NEAR(adjusted[i], c["adjusted"][i], 1e-12);
  }
}

TEST(HolmTest, WhatWasNotTestedIsNotOfTheFamily) {
  const std::vector<double> adjusted = holm({0.01, std::nan(""), 0.03});
  EXPECT_DOUBLE_EQ(adjusted[0], 0.02);
  EXPECT_TRUE(std::isnan(adjusted[1]));
  EXPECT_DOUBLE_EQ(adjusted[2], 0.03);
}

TEST(SampleSizeTest, PowerOfTheExactTestIsTheSumOverBothBinomials) {
  for (const json& c : oracle()["mcnemar_power"])
    EXPECT_NEAR(mcnemar_power(c["items"], c["discordance"], c["difference"], c["alpha"]),
                c["power"], 1e-10)
        << c;
}

TEST(SampleSizeTest, ItemsAreTheFewestFromConnorsApproximationUpwards) {
  for (const json& c : oracle()["mcnemar_size"]) {
    const TestPlan plan{c["alpha"], c["power"]};
    const std::int64_t items = mcnemar_sample_size(c["discordance"], c["difference"], plan);
    // Teeth of the power may put the bisection past the first number that has it.
    EXPECT_NEAR(static_cast<double>(items), c["items"], 3) << c;
    EXPECT_GE(items, c["connor"]);
    EXPECT_GE(mcnemar_power(items, c["discordance"], c["difference"], plan.alpha), plan.power);
  }
}

TEST(SampleSizeTest, SeedsAreThoseOfStatsmodels) {
  for (const json& c : oracle()["t_size"])
    EXPECT_EQ(t_test_sample_size(c["difference"], c["sd"], {c["alpha"], c["power"]}), c["pairs"])
        << c;
}

TEST(SampleSizeTest, SeedsWithoutSpreadAreTwo) { EXPECT_EQ(t_test_sample_size(0.1, 0), 2); }

TEST(SampleSizeTest, WhatCannotBePlannedIsSaid) {
  EXPECT_THAT(error_of([] { mcnemar_sample_size(0.1, 0.2); }),
              HasSubstr("a discordance of 0.1 with a difference of 0.2"));
  EXPECT_THAT(error_of([] { mcnemar_sample_size(0.1, 0); }), HasSubstr("a difference of 0"));
  EXPECT_THAT(error_of([] { mcnemar_power(10, 0, 0, 0.05); }), HasSubstr("a discordance of 0"));
  EXPECT_THAT(error_of([] { t_test_sample_size(0, 1); }), HasSubstr("a difference of 0"));
  EXPECT_THAT(error_of([] { t_test_sample_size(1, -1); }), HasSubstr("deviation of -1"));
  EXPECT_THAT(error_of([] { t_test_sample_size(1, 1, {.alpha = 0.05, .power = 1}); }),
              HasSubstr("alpha 0.05 and power 1"));
}

}  // namespace
}  // namespace harness::test
