#include "harness/report/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "harness/report/table.h"

namespace harness {
namespace {

/// Quantile (1 + kConfidence) / 2 of the normal distribution.
constexpr double kNormalQuantile = 1.959963984540054;

}  // namespace

std::map<std::string, double> unit_means(const std::vector<Measurement>& runs) {
  std::map<std::string, std::vector<double>> values;
  for (const Measurement& run : runs) values[run.unit].push_back(run.value);
  std::map<std::string, double> means;
  if (values.size() == 1) {
    for (std::size_t i = 0; i < runs.size(); ++i)
      means[fmt::format("{:06}", i)] = runs[i].value;  // in their order
    return means;
  }
  for (const auto& [unit, each] : values) means[unit] = mean(each);
  return means;
}

std::string units_text(const std::map<std::string, double>& units, std::size_t runs) {
  const bool trainings = units.size() > 1 && units.begin()->first.find('@') != std::string::npos;
  std::string text = fmt::format("{} {}seed{}", units.size(), trainings ? "training " : "",
                                 units.size() == 1 ? "" : "s");
  if (runs > units.size()) text += fmt::format(" ({} runs)", runs);
  return text;
}

Estimate estimate(const std::vector<Measurement>& runs) {
  if (runs.size() == 1) {
    const Measurement& run = runs.front();
    Estimate result{run.value, {}, fmt::format("{} items", run.count)};
    if (run.standard_error)
      result.interval = {run.value - kNormalQuantile * *run.standard_error,
                         run.value + kNormalQuantile * *run.standard_error};
    return result;
  }
  const auto units = unit_means(runs);
  std::vector<double> values;
  for (const auto& [unit, value] : units) values.push_back(value);
  return {mean(values), t_test(values).interval, units_text(units, runs.size())};
}

std::string interval_text(const Interval& interval) {
  if (!std::isfinite(interval.low) || !std::isfinite(interval.high)) return "";
  // Two digits of the half width.
  const double half = (interval.high - interval.low) / 2;
  if (!(half > 0)) return fmt::format("[{0}, {0}]", format_measured(interval.low));
  const int decimals = std::clamp(1 - static_cast<int>(std::floor(std::log10(half))), 0, 12);
  return fmt::format("[{:.{}f}, {:.{}f}]", interval.low, decimals, interval.high, decimals);
}

}  // namespace harness
