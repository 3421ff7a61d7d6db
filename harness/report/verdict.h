#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/report/comparison.h"
#include "harness/report/estimate.h"
#include "harness/report/runs.h"
#include "harness/store/result_store.h"

namespace harness {

/// A row of the experiment's table, by one metric.
struct Arm {
  std::string label;
  std::vector<std::string> runs;  // keys
  Estimate estimate;
};

/// Which of the methods that quantized one model to one format has the best value of a metric.
struct SafetyVerdict {
  std::string model;
  std::string format;  // "w4a4kv4"; empty where every method has a format of its own
  MetricName name;
  bool higher_is_better = true;
  std::optional<Arm> unquantized;
  std::vector<Arm> arms;             // the best first
  std::optional<PairedValues> lost;  // the best against the unquantized model
  std::optional<PairedValues> lead;  // the best against the second
  std::vector<double> p;             // of each arm: the best against it, adjusted (Holm) over
                                     // the arms; NaN of the best and where not comparable
  bool told() const;                 // whether the best is ahead of the second, beyond noise
  /// Whether the best is beyond the unquantized model, and beyond noise: what changed is not kept.
  bool beyond_unquantized() const;
  std::vector<std::string> worse() const;   // labels that are behind the best, beyond noise
  std::vector<std::string> others() const;  // the rest: not told apart from the best
};

/// A verdict for each model, format and metric of safety (results/metrics.csv) that the
/// experiment's table shows, the telling metrics first. Rows are compared as comparison.h does it:
/// seed by seed, else item by item.
std::vector<SafetyVerdict> safety_verdicts(const ResultStore& store, const std::string& experiment);

/// Those of the same model and format by whose metrics this verdict's best is behind, beyond noise.
std::vector<const SafetyVerdict*> contradictions(const SafetyVerdict& verdict,
                                                 const std::vector<SafetyVerdict>& verdicts);

/// Whether some row is ahead of this verdict's best by another metric, beyond noise, and still has
/// half of what the unquantized model has of this one: a model that is destroyed never refuses the
/// harmless, and that is no match.
bool is_disputed(const SafetyVerdict& verdict, const std::vector<SafetyVerdict>& verdicts);

/// "-0.0103 (-0.0118 to -0.0089)": a difference with its interval.
std::string difference_text(const PairedValues& paired);

/// The verdict in words.
std::string verdict_text(const SafetyVerdict& verdict);

/// What verdicts say of a model and a format, by the metric that tells most.
struct Summary {
  const SafetyVerdict* verdict;
  std::string title;  // in a few words
  bool keeps_best;    // whether one method is ahead, and nothing speaks against it
  std::string text;   // verdict_text(), and where other metrics disagree
};
/// One for each model and format, in the order of the verdicts, which must outlive it.
std::vector<Summary> summaries(const std::vector<SafetyVerdict>& verdicts);

}  // namespace harness
