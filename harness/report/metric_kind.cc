#include "harness/report/metric_kind.h"

#include <map>
#include <vector>

#include "harness/core/text.h"
#include "harness/report/csv_lines.h"
#include "harness/report/queries.h"

namespace harness {
namespace {

struct Line {
  std::string pattern;
  MetricKind kind;
};

std::vector<Line> read_lines() {
  const std::map<std::string, Aspect> aspects = {{"safety", Aspect::safety},
                                                 {"language", Aspect::language},
                                                 {"skill", Aspect::skill},
                                                 {"control", Aspect::control},
                                                 {"other", Aspect::other}};
  const std::map<std::string, std::optional<bool>> directions = {
      {"higher", true}, {"lower", false}, {"", std::nullopt}};
  std::vector<Line> lines;
  for (const auto& fields : csv_lines(kMetricsCsv))
    lines.push_back({fields.at(0),
                     {aspects.at(fields.at(1)), directions.at(fields.at(2)), fields.at(3),
                      static_cast<int>(lines.size())}});
  return lines;
}

}  // namespace

MetricKind metric_kind(const std::string& metric) {
  static const std::vector<Line> lines = read_lines();
  for (const Line& line : lines)
    if (glob_match(line.pattern, metric)) return line.kind;
  return {Aspect::other, std::nullopt, "", static_cast<int>(lines.size())};
}

}  // namespace harness
