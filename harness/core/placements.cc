#include "harness/core/placements.h"

#include <algorithm>

namespace harness {

std::vector<double> placements(const std::vector<double>& values, std::vector<double> others) {
  std::sort(others.begin(), others.end());
  std::vector<double> result;
  for (const double value : values) {
    const auto [first, last] = std::equal_range(others.begin(), others.end(), value);
    const auto below = static_cast<double>(first - others.begin());
    const auto equal = static_cast<double>(last - first);
    result.push_back((below + equal / 2) / static_cast<double>(others.size()));
  }
  return result;
}

}  // namespace harness
