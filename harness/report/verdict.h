#pragma once

#include <string>
#include <vector>

#include "harness/report/estimate.h"
#include "harness/store/result_store.h"

namespace harness {

/// What rows of a table that differ in their seeds alone measured, by unit.
struct Arm {
  std::string label;
  std::vector<std::string> runs;  // keys
  std::vector<Measurement> measurements;
  Estimate estimate = {};
};

/// By how much one arm is above another.
struct Difference {
  double value = 0;
  Interval interval;
  double p = 0;      // two-sided, of no difference; NaN: unknown
  std::string over;  // "paired over 7 training seeds"
};

/// Which of the methods that quantized one model to one format keeps a metric of safety best.
struct Verdict {
  std::string model;
  std::string format;  // w4a4kv4; empty where every method has a format of its own
  std::string metric, protocol;
  bool higher_is_better = true;
  std::vector<Arm> unquantized;                    // none or one
  std::vector<Arm> arms;                           // the best first
  Difference lost;                                 // the best's value minus the unquantized model's
  Difference lead;                                 // the best's value minus the second's
  std::vector<std::string> not_told_apart, worse;  // labels: of the others against the best, by
                                                   // Holm's adjusted p
};

/// A verdict for each model, format and metric of safety (results/metrics.csv) that the
/// experiment's table shows, the telling metrics first. Several trainings are compared by paired t
/// tests over training seeds, several seeds likewise; single runs by their standard errors, as if
/// they were independent, which overstates the doubt.
std::vector<Verdict> safety_verdicts(const ResultStore& store, const std::string& experiment);

/// The verdict in words.
std::string verdict_text(const Verdict& verdict);

/// ".03", "< .001", "1".
std::string p_text(double p);

}  // namespace harness
