#include "harness/plugin/metrics.h"

#include <cmath>
#include <map>

namespace harness {

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

std::optional<double> variance_of_mean(const std::vector<double>& values,
                                       const std::vector<std::string>& clusters) {
  const double mean = mean_of(values);
  std::map<std::string, double> residuals;
  for (std::size_t i = 0; i < values.size(); ++i) residuals[clusters[i]] += values[i] - mean;
  const auto count = static_cast<double>(residuals.size()), n = static_cast<double>(values.size());
  double squares = 0;
  for (const auto& [name, residual] : residuals) squares += residual * residual;
  if (residuals.size() < 2 || !std::isfinite(squares)) return std::nullopt;
  return count / (count - 1) * squares / (n * n);
}

Metric mean_metric(const std::string& name, const std::vector<double>& values,
                   const std::vector<std::string>& clusters) {
  std::optional<double> error = variance_of_mean(values, clusters);
  if (error) error = std::sqrt(*error);
  return {name, mean_of(values), error, static_cast<std::int64_t>(values.size())};
}

Metric mean_of_metrics(const std::string& name, const std::vector<Metric>& metrics) {
  Metric result{name, 0, 0.0, 0};
  double variance = 0;
  bool known = true;
  for (const Metric& metric : metrics) {
    result.value += metric.value;
    result.count += metric.count;
    known = known && metric.standard_error.has_value();
    variance += metric.standard_error.value_or(0) * metric.standard_error.value_or(0);
  }
  const auto n = static_cast<double>(metrics.size());
  result.value /= n;
  result.standard_error = known ? std::optional(std::sqrt(variance) / n) : std::nullopt;
  return result;
}

}  // namespace harness
