#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/report/statistics.h"

namespace harness {

/// A number of one run.
struct Measurement {
  double value = 0;
  std::optional<double> standard_error;  // over items
  std::int64_t count = 0;                // items behind it
  std::string unit;                      // its model: of a pair's model each training is another
};

/// What runs that differ in their seeds alone say together.
struct Estimate {
  double value = 0;
  Interval interval;  // of 1 - kAlpha; unknown: NaN
  std::string over;   // what the interval is over: "7 training seeds", "2 seeds", "1536 items"
};

/// Of one run its value with the normal interval of its standard error. Of several the mean of
/// them with Student's t interval: where there are several trainings, the training seed is
/// the unit, and other seeds are averaged inside it.
Estimate estimate(const std::vector<Measurement>& runs);

/// "0.980 (0.971 to 0.989), 7 training seeds".
std::string estimate_text(const Estimate& estimate);

}  // namespace harness
