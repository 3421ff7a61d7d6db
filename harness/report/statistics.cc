#include "harness/report/statistics.h"

#include <cmath>
#include <limits>
#include <map>

namespace harness {
namespace {
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
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
  std::map<std::string, double> residuals;  // of each cluster, summed
  double squares = 0, count = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double residual = values[i] - center;
    if (clusters[i].empty())
      squares += residual * residual, ++count;
    else
      residuals[clusters[i]] += residual;
  }
  for (const auto& [cluster, residual] : residuals) squares += residual * residual, ++count;
  if (count < 2) return kUnknown;
  return std::sqrt(count / (count - 1) * squares) / static_cast<double>(values.size());
}

}  // namespace harness
