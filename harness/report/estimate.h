#pragma once

#include <cstdint>
#include <map>
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
  Interval interval;  // of kConfidence; unknown: NaN
  std::string over;   // what the interval is over: "7 training seeds", "2 seeds", "1536 items"
};

/// The values averaged inside each unit; where all runs are of one unit, each run's by itself.
std::map<std::string, double> unit_means(const std::vector<Measurement>& runs);

/// Of one run its value with the normal interval of its standard error. Of several the mean of
/// unit_means with Student's t interval: where there are several trainings, the training seed is
/// the unit, and other seeds are averaged inside it.
Estimate estimate(const std::vector<Measurement>& runs);

/// "7 training seeds" or "2 seeds": what unit_means are means of.
std::string units_text(const std::map<std::string, double>& units, std::size_t runs);

/// "[0.971, 0.989]", with the digits that format_measured would show.
std::string interval_text(const Interval& interval);

}  // namespace harness
