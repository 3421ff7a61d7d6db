#include "harness/report/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

namespace harness::test {
namespace {

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
  const double independent = standard_error_of_mean(values);
  EXPECT_DOUBLE_EQ(clustered_standard_error(values, std::vector<std::string>(8)), independent);
  EXPECT_DOUBLE_EQ(clustered_standard_error(values, {"a", "b", "c", "d", "e", "f", "g", "h"}),
                   independent);
}

TEST(StatisticsTest, ClustersCountOnce) {
  // Residuals -2, -1, 1, 2: clusters sum to -3 and 3, so sqrt(2 / 1 * 18) / 4.
  EXPECT_DOUBLE_EQ(clustered_standard_error({1, 2, 4, 5}, {"a", "a", "b", "b"}), 1.5);
  EXPECT_TRUE(std::isnan(clustered_standard_error({1, 2}, {"a", "a"})));
}

}  // namespace
}  // namespace harness::test
