#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/plugin/eval.h"

namespace harness {

double mean_of(const std::vector<double>& values);

/// The cluster-robust variance of the mean: with r_c the sum of (value - mean) over cluster c,
/// G / (G - 1) sum_c r_c^2 / n^2 for G clusters and n values (Liang and Zeger 1986); none for one
/// cluster, or values that are not finite. With every value its own cluster it is sd^2 / n.
/// @param clusters one a value
std::optional<double> variance_of_mean(const std::vector<double>& values,
                                       const std::vector<std::string>& clusters);

/// The mean, with the root of that variance as its standard error.
Metric mean_metric(const std::string& name, const std::vector<double>& values,
                   const std::vector<std::string>& clusters);

/// The mean of metrics whose items are independent of one another's; no standard error where one
/// has none. `count` is the sum of theirs.
Metric mean_of_metrics(const std::string& name, const std::vector<Metric>& metrics);

}  // namespace harness
