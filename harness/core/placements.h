#pragma once

#include <vector>

namespace harness {

/// For each value the share of `others` that lies below it, ties half (DeLong et al. 1988): its
/// mean is the area under the curve of values against others. No value may be NaN.
std::vector<double> placements(const std::vector<double>& values, std::vector<double> others);

}  // namespace harness
