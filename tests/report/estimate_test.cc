#include "harness/report/estimate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace harness::test {
namespace {

TEST(EstimateTest, OneRunHasTheNormalIntervalOfItsStandardError) {
  const Estimate one = estimate({{.5, .1, 20, "m"}});
  EXPECT_EQ(one.value, .5);
  EXPECT_NEAR(one.interval.low, .5 - 1.959963984540054 * .1, 1e-15);
  EXPECT_NEAR(one.interval.high, .5 + 1.959963984540054 * .1, 1e-15);
  EXPECT_EQ(one.over, "20 items");
  EXPECT_TRUE(std::isnan(estimate({{.5, {}, 20, "m"}}).interval.low));
}

TEST(EstimateTest, OtherSeedsAreAveragedInsideATraining) {
  // t(2) at .975, 4.302652729911275, times 1 / sqrt(3)
  const Estimate several = estimate({{0, .1, 20, "pair:w/a@0"},
                                     {2, .1, 20, "pair:w/a@0"},
                                     {2, .1, 20, "pair:w/a@1"},
                                     {3, .1, 20, "pair:w/a@2"}});
  EXPECT_DOUBLE_EQ(several.value, 2);
  EXPECT_NEAR(several.interval.low, 2 - 2.484137711843753, 1e-9);
  EXPECT_NEAR(several.interval.high, 2 + 2.484137711843753, 1e-9);
  EXPECT_EQ(several.over, "3 training seeds (4 runs)");
}

TEST(EstimateTest, SeedsOfOneModelAreTheUnits) {
  const Estimate seeds = estimate({{1, .1, 20, "Llama"}, {3, .1, 20, "Llama"}});
  EXPECT_EQ(seeds.value, 2);
  EXPECT_EQ(seeds.over, "2 seeds");
  EXPECT_NEAR(seeds.interval.high - 2, 12.706204736432095,
              1e-9);  // t(1) at .975, times sqrt(2)/sqrt(2)
}

TEST(EstimateTest, IsShownToTwoDigitsOfItsIntervalsHalf) {
  EXPECT_EQ(estimate_text({.98, {.97, .99}, "7 training seeds"}),
            "0.980 (0.970 to 0.990), 7 training seeds");
  EXPECT_EQ(estimate_text({.98, {}, "20 items"}), "0.9800, 20 items");
  EXPECT_EQ(estimate_text({1, {1, 1}, "3 seeds"}), "1, 3 seeds");
  EXPECT_EQ(estimate_text({1.54e-6, {1.34e-6, 1.74e-6}, "5 training seeds"}),
            "1.54e-6 (0.00000134 to 0.00000174), 5 training seeds");
}

}  // namespace
}  // namespace harness::test
