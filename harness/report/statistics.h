#pragma once

#include <vector>

namespace harness {

/// Arithmetic mean; NaN of no values.
double mean(const std::vector<double>& values);

/// Standard deviation of a sample (divisor n - 1); NaN of fewer than two values.
double standard_deviation(const std::vector<double>& values);

/// Standard error of the mean of independent values: standard deviation / sqrt(n); NaN of fewer
/// than two.
double standard_error_of_mean(const std::vector<double>& values);

}  // namespace harness
