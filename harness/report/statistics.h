#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

// The statistics of evals.md, "Comparing methods". All is a function of its arguments alone: where
// a test or an interval draws random numbers, they are Philox's, keyed by the values themselves, so
// that reports repeat to the byte. Oracles: tests/golden/statistics.

namespace harness {

/// The level of tests, two-sided, and that of intervals.
inline constexpr double kAlpha = 0.05;
inline constexpr double kConfidence = 0.95;

/// Arithmetic mean; NaN of no values.
double mean(const std::vector<double>& values);

/// Standard deviation of a sample (divisor n - 1); NaN of fewer than two values.
double standard_deviation(const std::vector<double>& values);

/// Standard error of the mean of independent values: standard deviation / sqrt(n); NaN of fewer
/// than two.
double standard_error_of_mean(const std::vector<double>& values);

/// Standard error of the mean of values that depend on each other within a cluster (Liang and Zeger
/// 1986, with the factor C / (C - 1) for C clusters). A value whose cluster is empty is one by
/// itself; where all are, this is standard_error_of_mean. NaN of fewer than two clusters.
double clustered_standard_error(const std::vector<double>& values,
                                const std::vector<std::string>& clusters);

/// Where a quantity lies with probability kConfidence. NaN: unknown.
struct Interval {
  double low = std::numeric_limits<double>::quiet_NaN();
  double high = std::numeric_limits<double>::quiet_NaN();
  bool known() const { return std::isfinite(low) && std::isfinite(high); }
};

/// Exact McNemar test, two-sided, of independent 0/1 items that two runs answered: the binomial
/// probability, at 1/2, of discordant items split as unevenly as these. 1 where there are none.
/// @param higher  items that are 1 in the second run and 0 in the first
/// @param lower   the other way round
double mcnemar_test(std::int64_t higher, std::int64_t lower);

/// Percentile interval of the paired bootstrap of (higher - lower) / items, for independent 0/1
/// items: from the distribution itself that resampling the counts (higher, lower, rest) has, which
/// is what infinitely many resamples give. Where no item is discordant the bootstrap knows nothing;
/// then plus and minus the upper limit of the share that is (Clopper and Pearson 1934).
Interval counts_interval(std::int64_t higher, std::int64_t lower, std::int64_t items);

/// Percentile interval of the paired bootstrap of the mean of `differences`; clusters are resampled
/// whole (10,000 times). Unknown of fewer than two clusters, or where a value is not finite.
/// @param clusters  one a value; empty: a cluster by itself
Interval cluster_bootstrap(const std::vector<double>& differences,
                           const std::vector<std::string>& clusters);

/// Sign-flip permutation test, two-sided, of a mean difference of 0: each cluster's sum is as
/// likely to have the other sign. Exact where at most 16 clusters are not 0, else of 10,000 draws
/// (and then (1 + as extreme) / (1 + draws), Phipson and Smyth 2010). 1 where all are 0; NaN of
/// fewer than two clusters, or where a value is not finite.
double sign_flip_test(const std::vector<double>& differences,
                      const std::vector<std::string>& clusters);

/// Names of blocks of neighbours, floor(n^(1/3)) long, as clusters of n windows of one text: with
/// them the two functions above are a block bootstrap (Carlstein 1986) and a test by blocks.
std::vector<std::string> neighbour_blocks(std::size_t windows);

/// Paired t test, two-sided, of a mean difference of 0, and its interval. Unknown (NaN) of fewer
/// than two differences, where one is not finite, and where all are the same: a spread of nothing
/// is no measure of doubt. Only where all are 0 is p 1.
struct TTest {
  double mean = std::numeric_limits<double>::quiet_NaN();
  double standard_deviation = mean;  // of the differences
  double t = mean;
  double p = mean;
  Interval interval = {};  // of the mean
};
TTest t_test(const std::vector<double>& differences);

/// P values adjusted for all that are tested together (Holm 1979), in their order. NaN stays NaN
/// and is not of the family.
std::vector<double> holm(const std::vector<double>& p_values);

/// What a comparison is planned for.
struct TestPlan {
  double alpha = kAlpha;
  double power = 0.8;
};

/// Power of the exact McNemar test with so many independent items: `discordance` is the share of
/// items on which the two differ, `difference` that of their accuracies.
/// @throws Error unless 0 < discordance <= 1 and |difference| <= discordance
double mcnemar_power(std::int64_t items, double discordance, double difference, double alpha);

/// Items that the exact McNemar test needs for that power: upwards from the approximation of Connor
/// (1987), by bisection, for the power rises with the items but for teeth of a thousandth.
/// @throws Error as mcnemar_power, or for a difference of 0
std::int64_t mcnemar_sample_size(double discordance, double difference, const TestPlan& plan = {});

/// Pairs (training seeds) that a paired t test needs to see `difference`, where the differences
/// have this standard deviation: exact, by the noncentral t distribution. At least 2.
/// @throws Error for a difference of 0 or a negative standard deviation
std::int64_t t_test_sample_size(double difference, double standard_deviation,
                                const TestPlan& plan = {});

}  // namespace harness
