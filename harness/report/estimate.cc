#include "harness/report/estimate.h"

#include <fmt/format.h>

#include <map>

#include "harness/report/table.h"

namespace harness {
namespace {

/// Quantile 1 - kAlpha / 2 of the normal distribution.
constexpr double kNormalQuantile = 1.959963984540054;

/// The values averaged inside each unit; where all runs are of one unit, each run's by itself.
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

/// "7 training seeds" or "2 seeds".
std::string units_text(const std::map<std::string, double>& units, std::size_t runs) {
  const bool trainings = units.size() > 1 && units.begin()->first.starts_with("pair:");
  std::string text = fmt::format("{} {}seed{}", units.size(), trainings ? "training " : "",
                                 units.size() == 1 ? "" : "s");
  if (runs > units.size()) text += fmt::format(" ({} runs)", runs);
  return text;
}

}  // namespace

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

std::string estimate_text(const Estimate& estimate) {
  const double half = (estimate.interval.high - estimate.interval.low) / 2;
  if (!(half > 0)) return format_measured(estimate.value) + ", " + estimate.over;
  return fmt::format("{} ({}), {}", format_value(estimate.value, half),
                     format_interval(estimate.interval.low, estimate.interval.high, false),
                     estimate.over);
}

}  // namespace harness
