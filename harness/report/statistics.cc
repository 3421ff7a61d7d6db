#include "harness/report/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/non_central_t.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <map>
#include <string_view>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/core/rng.h"

namespace harness {
namespace {

namespace bm = boost::math;

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
constexpr double kTail = (1 - kConfidence) / 2;
constexpr int kDraws = 10'000;
constexpr std::size_t kMostEnumerated = 16;  // clusters whose signs are all tried

bool all_finite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}

struct ClusterTotal {
  double sum = 0;
  double count = 0;
};

/// Values by cluster, in the order of its first; an empty name is a cluster by itself.
std::vector<ClusterTotal> cluster_totals(const std::vector<double>& values,
                                         const std::vector<std::string>& clusters) {
  std::vector<ClusterTotal> totals;
  std::map<std::string_view, std::size_t> places;
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::size_t place = totals.size();
    if (!clusters[i].empty()) place = places.emplace(clusters[i], place).first->second;
    if (place == totals.size()) totals.emplace_back();
    totals[place].sum += values[i];
    ++totals[place].count;
  }
  return totals;
}

/// The generator of a test of these clusters: other values, other numbers.
Philox generator(const std::string& purpose, const std::vector<ClusterTotal>& totals) {
  return {0,
          sha256({reinterpret_cast<const char*>(totals.data()), totals.size() * sizeof totals[0]}),
          purpose};
}

/// The value below which a share of the sorted values lies, interpolated between neighbours.
double percentile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - std::floor(place)) * (sorted[above] - sorted[below]);
}

/// Probabilities of a binomial count, but for tails of less than 1e-17.
struct Binomial {
  std::int64_t first = 0;
  std::vector<double> probability;  // of first, first + 1, ...

  Binomial(std::int64_t trials, double share) {
    const double n = static_cast<double>(trials);
    // Beyond it less than 1e-17 (Bernstein).
    const double reach = 9 * std::sqrt(n * share * (1 - share)) + 36;
    first = std::max<std::int64_t>(0, static_cast<std::int64_t>(n * share - reach));
    const auto last =
        std::min<std::int64_t>(trials, static_cast<std::int64_t>(std::ceil(n * share + reach)));
    auto weight = [](std::int64_t count, double of) {
      return count == 0 ? 0 : static_cast<double>(count) * std::log(of);
    };
    for (std::int64_t k = first; k <= last; ++k)
      probability.push_back(std::exp(log_factorial(trials) - log_factorial(k) -
                                     log_factorial(trials - k) + weight(k, share) +
                                     weight(trials - k, 1 - share)));
  }

 private:
  static double log_factorial(std::int64_t n) { return std::lgamma(static_cast<double>(n) + 1); }
};

void check_discordance(double discordance, double difference) {
  if (!(discordance > 0 && discordance <= 1 && std::abs(difference) <= discordance))
    throw Error(
        "sample size",
        fmt::format("a discordance of {} with a difference of {}", discordance, difference),
        "the share of items that differ, above 0 and at most 1, and a difference that is no "
        "larger: each item adds at most one to either");
}

void check_difference(double difference) {
  if (!std::isfinite(difference) || difference == 0)
    throw Error("sample size", fmt::format("a difference of {}", difference),
                "one that is to be seen, not 0");
}

void check_plan(const TestPlan& plan) {
  if (!(plan.alpha > 0 && plan.alpha < 1 && plan.power > 0 && plan.power < 1))
    throw Error("sample size", fmt::format("alpha {} and power {}", plan.alpha, plan.power),
                "both between 0 and 1");
}

/// The smallest number from `start` upwards that is enough, where all above one that is are too.
template <class Enough>
std::int64_t smallest_from(std::int64_t start, Enough&& enough) {
  if (enough(start)) return start;
  std::int64_t low = start, step = 1;
  while (!enough(low + step)) low += step, step *= 2;
  std::int64_t high = low + step;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (enough(middle) ? high : low) = middle;
  }
  return high;
}

}  // namespace

double mean(const std::vector<double>& values) {
  if (values.empty()) return kUnknown;
  double sum = 0;
  for (double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double standard_deviation(const std::vector<double>& values) {
  if (values.size() < 2) return kUnknown;
  const double center = mean(values);
  double squares = 0;
  for (double value : values) squares += (value - center) * (value - center);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

double standard_error_of_mean(const std::vector<double>& values) {
  return standard_deviation(values) / std::sqrt(static_cast<double>(values.size()));
}

double clustered_standard_error(const std::vector<double>& values,
                                const std::vector<std::string>& clusters) {
  const double center = mean(values);
  const std::vector<ClusterTotal> totals = cluster_totals(values, clusters);
  if (totals.size() < 2) return kUnknown;
  double squares = 0;
  for (const ClusterTotal& total : totals)
    squares += (total.sum - total.count * center) * (total.sum - total.count * center);
  const auto count = static_cast<double>(totals.size());
  return std::sqrt(count / (count - 1) * squares) / static_cast<double>(values.size());
}

double mcnemar_test(std::int64_t higher, std::int64_t lower) {
  if (higher == lower) return 1;
  const bm::binomial_distribution<> even(static_cast<double>(higher + lower), 0.5);
  return std::min(1.0, 2 * bm::cdf(even, static_cast<double>(std::min(higher, lower))));
}

Interval counts_interval(std::int64_t higher, std::int64_t lower, std::int64_t items) {
  if (items <= 0) return {};
  const auto n = static_cast<double>(items);
  const std::int64_t discordant = higher + lower;
  if (discordant == 0) {
    const double limit = 1 - std::pow(kTail, 1 / n);
    return {-limit, limit};
  }
  // How many are discordant is binomial, and of those how many are higher.
  std::vector<double> probability(static_cast<std::size_t>(2 * items + 1));  // of -items to items
  const Binomial outer(items, static_cast<double>(discordant) / n);
  for (std::size_t i = 0; i < outer.probability.size(); ++i) {
    const std::int64_t drawn = outer.first + static_cast<std::int64_t>(i);
    const Binomial inner(drawn, static_cast<double>(higher) / static_cast<double>(discordant));
    for (std::size_t k = 0; k < inner.probability.size(); ++k)
      probability[static_cast<std::size_t>(2 * (inner.first + static_cast<std::int64_t>(k)) -
                                           drawn + items)] +=
          outer.probability[i] * inner.probability[k];
  }
  auto quantile = [&](double share) {
    double sum = 0;
    std::int64_t k = -items;
    for (; k < items; ++k) {
      sum += probability[static_cast<std::size_t>(k + items)];
      if (sum >= share) break;
    }
    return static_cast<double>(k) / n;
  };
  return {quantile(kTail), quantile(1 - kTail)};
}

Interval cluster_bootstrap(const std::vector<double>& differences,
                           const std::vector<std::string>& clusters) {
  const std::vector<ClusterTotal> totals = cluster_totals(differences, clusters);
  if (totals.size() < 2 || !all_finite(differences)) return {};
  Philox random = generator("cluster bootstrap", totals);
  std::vector<double> means;
  for (int draw = 0; draw < kDraws; ++draw) {
    ClusterTotal all;
    for (std::size_t i = 0; i < totals.size(); ++i) {
      const ClusterTotal& drawn = totals[random.below(totals.size())];
      all.sum += drawn.sum;
      all.count += drawn.count;
    }
    means.push_back(all.sum / all.count);
  }
  std::sort(means.begin(), means.end());
  return {percentile(means, kTail), percentile(means, 1 - kTail)};
}

double sign_flip_test(const std::vector<double>& differences,
                      const std::vector<std::string>& clusters) {
  std::vector<ClusterTotal> totals = cluster_totals(differences, clusters);
  if (totals.size() < 2 || !all_finite(differences)) return kUnknown;
  std::erase_if(totals, [](const ClusterTotal& total) { return total.sum == 0; });
  double observed = 0, size = 0;
  for (const ClusterTotal& total : totals) observed += total.sum, size += std::abs(total.sum);
  // Sums of the same numbers in another order are the same but for rounding.
  const double extreme = std::abs(observed) - 1e-12 * size;
  const bool exact = totals.size() <= kMostEnumerated;
  const int draws = exact ? 1 << totals.size() : kDraws;
  Philox random = generator("sign flips", totals);
  int as_extreme = 0;
  for (int draw = 0; draw < draws; ++draw) {
    auto bits = static_cast<std::uint64_t>(draw);
    double sum = 0;
    for (std::size_t i = 0; i < totals.size(); ++i, bits >>= 1) {
      if (!exact && i % 64 == 0) bits = random.next_u64();
      sum += bits & 1 ? totals[i].sum : -totals[i].sum;
    }
    as_extreme += std::abs(sum) >= extreme;
  }
  const int itself = exact ? 0 : 1;  // what was observed is one of the draws
  return static_cast<double>(as_extreme + itself) / (draws + itself);
}

std::vector<std::string> neighbour_blocks(std::size_t windows) {
  // The root of a whole cube may come out just below it.
  const auto length = static_cast<std::size_t>(std::cbrt(static_cast<double>(windows)) + 1e-9);
  std::vector<std::string> blocks;
  for (std::size_t i = 0; i < windows; ++i) blocks.push_back(fmt::format("block {}", i / length));
  return blocks;
}

TTest t_test(const std::vector<double>& differences) {
  TTest test;
  test.mean = mean(differences);
  test.standard_deviation = standard_deviation(differences);
  if (differences.size() < 2 || !all_finite(differences)) return test;
  if (test.standard_deviation == 0) {
    if (test.mean == 0) test.p = 1;
    return test;
  }
  const auto n = static_cast<double>(differences.size());
  const double error = test.standard_deviation / std::sqrt(n);
  const bm::students_t_distribution<> distribution(n - 1);
  test.t = test.mean / error;
  test.p = 2 * bm::cdf(bm::complement(distribution, std::abs(test.t)));
  const double reach = error * bm::quantile(bm::complement(distribution, kTail));
  test.interval = {test.mean - reach, test.mean + reach};
  return test;
}

std::vector<double> holm(const std::vector<double>& p_values) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < p_values.size(); ++i)
    if (!std::isnan(p_values[i])) order.push_back(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return p_values[a] < p_values[b]; });
  std::vector<double> adjusted = p_values;
  double least = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    least = std::max(least, static_cast<double>(order.size() - rank) * p_values[order[rank]]);
    adjusted[order[rank]] = std::min(1.0, least);
  }
  return adjusted;
}

double mcnemar_power(std::int64_t items, double discordance, double difference, double alpha) {
  check_discordance(discordance, difference);
  const double higher = (discordance + difference) / (2 * discordance);
  const Binomial discordant(items, discordance);
  double power = 0;
  std::int64_t critical = -1;  // that many or fewer on one side are significant
  for (std::size_t i = 0; i < discordant.probability.size(); ++i) {
    const std::int64_t count = discordant.first + static_cast<std::int64_t>(i);
    while (2 * (critical + 1) < count && mcnemar_test(critical + 1, count - critical - 1) <= alpha)
      ++critical;
    if (critical < 0) continue;
    const bm::binomial_distribution<> of_higher(static_cast<double>(count), higher);
    power += discordant.probability[i] *
             (bm::cdf(of_higher, static_cast<double>(critical)) +
              bm::cdf(bm::complement(of_higher, static_cast<double>(count - critical - 1))));
  }
  return power;
}

std::int64_t mcnemar_sample_size(double discordance, double difference, const TestPlan& plan) {
  check_plan(plan);
  check_difference(difference);
  check_discordance(discordance, difference);
  const bm::normal_distribution<> normal;
  const double root =
      bm::quantile(bm::complement(normal, plan.alpha / 2)) * std::sqrt(discordance) +
      bm::quantile(normal, plan.power) * std::sqrt(discordance - difference * difference);
  const auto connor = static_cast<std::int64_t>(std::ceil(std::pow(root / difference, 2)));
  return smallest_from(std::max<std::int64_t>(1, connor), [&](std::int64_t items) {
    return mcnemar_power(items, discordance, difference, plan.alpha) >= plan.power;
  });
}

std::int64_t t_test_sample_size(double difference, double standard_deviation,
                                const TestPlan& plan) {
  check_plan(plan);
  check_difference(difference);
  if (!(standard_deviation >= 0))
    throw Error("sample size", fmt::format("a standard deviation of {}", standard_deviation),
                "that of the differences, 0 or more");
  if (standard_deviation == 0) return 2;
  return smallest_from(2, [&](std::int64_t pairs) {
    const auto n = static_cast<double>(pairs);
    const bm::students_t_distribution<> null(n - 1);
    const double critical = bm::quantile(bm::complement(null, plan.alpha / 2));
    const bm::non_central_t_distribution<> shifted(
        n - 1, std::abs(difference) / standard_deviation * std::sqrt(n));
    return bm::cdf(bm::complement(shifted, critical)) + bm::cdf(shifted, -critical) >= plan.power;
  });
}

}  // namespace harness
