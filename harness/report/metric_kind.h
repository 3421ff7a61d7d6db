#pragma once

#include <optional>
#include <string>

namespace harness {

/// What a metric is about. Control: a harmless ability that the fine-tune taught as it taught
/// safety. Other: parts of metrics, counts, baselines.
enum class Aspect { safety, language, skill, control, other };

struct MetricKind {
  Aspect aspect = Aspect::other;
  std::optional<bool> higher_is_better;  // nothing where neither is (tokens, bias)
  std::string meaning;  // in one line; empty where results/metrics.csv does not have it
  int rank = 0;         // line of the file: of metrics of one aspect the telling ones come first
};

/// Of a metric as evals name it, such as "ok_h" or "arc_easy/acc_norm": the first line of
/// results/metrics.csv whose pattern fits.
MetricKind metric_kind(const std::string& metric);

}  // namespace harness
