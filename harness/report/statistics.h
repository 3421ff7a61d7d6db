#pragma once

#include <string>
#include <vector>

namespace harness {

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

}  // namespace harness
