#include "harness/report/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "harness/core/experiment.h"
#include "harness/report/metric_kind.h"
#include "harness/report/plot.h"
#include "harness/report/queries.h"
#include "harness/report/table.h"
#include "harness/store/lookup.h"

namespace harness {
namespace {

double number(const std::optional<std::string>& text) {
  double value = std::nan("");
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

/// "w4a4kv4 (a_o g16)" without what is in brackets: how a method reaches the bits is its own.
std::string bits_of(const std::string& format) { return format.substr(0, format.find(" (")); }

/// "pair:world/aligned@3" without the training seed.
std::string name_of(const std::string& model) {
  return model.starts_with("pair:") ? model.substr(0, model.rfind('@')) : model;
}

struct Place {
  int rank = 0;  // of the metric
  std::string model, protocol, metric;
  auto operator<=>(const Place&) const = default;
};
struct Row {
  std::string label, methods, format;
  Arm arm;
};

/// What was measured of each label, by place.
std::map<Place, std::vector<Row>> read_rows(const ResultStore& store, const ExperimentName& found) {
  const auto toml =
      store.query("SELECT toml FROM experiments WHERE key = :key", {{"key", found.key}});
  const auto columns = table_columns(toml.rows.at(0).at(0).value_or(""));
  const auto result = store.query(kMainTableSql, {{"experiment", found.key}});
  std::map<std::string, std::size_t> at;
  for (std::size_t c = 0; c < result.columns.size(); ++c) at[result.columns[c]] = c;
  std::set<std::string> models;
  for (const auto& row : result.rows) models.insert(row[at["model"]].value_or(""));
  std::map<Place, std::vector<Row>> places;
  for (const auto& row : result.rows) {
    auto text = [&](const char* column) { return row[at.at(column)].value_or(""); };
    const std::string metric = text("metric");
    const MetricKind kind = metric_kind(metric);
    if (text("kind") != "eval" || !row[at["value"]] || kind.aspect != Aspect::safety ||
        kind.better == Better::unknown ||
        (!columns.empty() && std::find(columns.begin(), columns.end(), metric) == columns.end()))
      continue;
    auto& rows = places[{kind.rank, name_of(text("model")), text("protocol"), metric}];
    auto same = std::find_if(rows.begin(), rows.end(), [&](const Row& each) {
      return each.label == text("label") && each.format == text("format") &&
             each.methods == text("methods");
    });
    if (same == rows.end())
      same = rows.insert(rows.end(), {text("label"), text("methods"), text("format"), {}});
    Arm& arm = same->arm;
    arm.label = same->label;
    arm.runs.push_back(text("run_key"));
    // Where one model has several seeds they are the units, and pair by their number.
    const std::string unit = models.size() > 1 ? text("model") : "seed " + text("seed");
    arm.measurements.push_back({number(row[at["value"]]), std::nullopt,
                                static_cast<std::int64_t>(number(row[at["count"]])), unit});
    if (row[at["standard_error"]])
      arm.measurements.back().standard_error = number(row[at["standard_error"]]);
  }
  return places;
}

std::map<std::string, double> by_unit(const Arm& arm) {
  std::map<std::string, std::vector<double>> values;
  for (const Measurement& each : arm.measurements) values[each.unit].push_back(each.value);
  std::map<std::string, double> means;
  for (const auto& [unit, each] : values) means[unit] = mean(each);
  return means;
}

/// `arm` minus `other`.
Difference difference(const Arm& arm, const Arm& other) {
  const auto ours = by_unit(arm), theirs = by_unit(other);
  std::vector<double> differences;
  for (const auto& [unit, value] : ours)
    if (const auto found = theirs.find(unit); found != theirs.end())
      differences.push_back(value - found->second);
  if (differences.size() > 1) {
    const TTest test = t_test(differences);
    const bool trainings = ours.begin()->first.find('@') != std::string::npos;
    return {
        test.mean, test.interval, test.p,
        fmt::format("paired over {} {}seeds", differences.size(), trainings ? "training " : "")};
  }
  Difference result{arm.estimate.value - other.estimate.value,
                    {},
                    std::nan(""),
                    fmt::format("over {}, as if independent", arm.estimate.over)};
  const auto& a = arm.measurements.front().standard_error;
  const auto& b = other.measurements.front().standard_error;
  if (!a || !b) return result;
  const double error = std::hypot(*a, *b);
  constexpr double kNormalQuantile = 1.959963984540054;
  result.interval = {result.value - kNormalQuantile * error,
                     result.value + kNormalQuantile * error};
  result.p =
      error > 0 ? std::erfc(std::abs(result.value) / error / std::sqrt(2.0)) : result.value == 0;
  return result;
}

Verdict judge(const Place& place, const std::string& format, std::vector<Arm> arms,
              const std::vector<Arm>& unquantized) {
  const bool higher = metric_kind(place.metric).better == Better::higher;
  Verdict verdict{
      place.model, format, place.metric, place.protocol, higher, unquantized, {}, {}, {}, {}, {}};
  for (auto* list : {&arms, &verdict.unquantized})
    for (Arm& arm : *list) arm.estimate = estimate(arm.measurements);
  std::stable_sort(arms.begin(), arms.end(), [&](const Arm& a, const Arm& b) {
    return higher ? a.estimate.value > b.estimate.value : a.estimate.value < b.estimate.value;
  });
  verdict.arms = std::move(arms);
  const Arm& best = verdict.arms.front();
  if (!unquantized.empty()) verdict.lost = difference(best, verdict.unquantized.front());
  std::vector<double> p_values;
  for (std::size_t i = 1; i < verdict.arms.size(); ++i) {
    const Difference behind = difference(best, verdict.arms[i]);
    if (i == 1) verdict.lead = behind;
    p_values.push_back(behind.p);
  }
  const auto adjusted = holm(p_values);
  for (std::size_t i = 0; i < adjusted.size(); ++i)
    (adjusted[i] < 1 - kConfidence ? verdict.worse : verdict.not_told_apart)
        .push_back(verdict.arms[i + 1].label);
  return verdict;
}

std::string signed_text(double value) { return (value > 0 ? "+" : "") + format_measured(value); }

std::string with_interval(const Difference& difference) {
  const double half = (difference.interval.high - difference.interval.low) / 2;
  if (!(half > 0)) return signed_text(difference.value);
  const std::string text = format_measured(difference.value, half);
  return fmt::format("{}{} {}", difference.value > 0 ? "+" : "", text.substr(0, text.find(" ± ")),
                     interval_text(difference.interval));
}

}  // namespace

std::string p_text(double p) {
  if (std::isnan(p)) return "unknown";
  if (p < .001) return "< .001";
  if (p >= .9995) return "1";
  std::string text = fmt::format("{:.{}f}", p, p < .0995 ? 3 : 2);
  return text.substr(1);
}

std::vector<Verdict> safety_verdicts(const ResultStore& store, const std::string& experiment) {
  const ExperimentName found = find_experiment(store, experiment);
  std::vector<Verdict> verdicts;
  for (const auto& [place, rows] : read_rows(store, found)) {
    std::vector<Arm> unquantized;
    std::vector<std::string> formats;
    std::map<std::string, std::vector<Arm>> by_format;
    for (const Row& row : rows) {
      if (row.methods.empty()) {
        if (unquantized.empty()) unquantized.push_back(row.arm);
        continue;
      }
      const std::string bits = bits_of(row.format);
      if (!by_format.count(bits)) formats.push_back(bits);
      by_format[bits].push_back(row.arm);
    }
    const bool comparable = std::any_of(by_format.begin(), by_format.end(),
                                        [](const auto& each) { return each.second.size() > 1; });
    if (!comparable && formats.size() > 1) {
      std::vector<Arm> all;
      for (const std::string& bits : formats) all.push_back(by_format[bits].front());
      verdicts.push_back(judge(place, "", all, unquantized));
      continue;
    }
    for (const std::string& bits : formats)
      verdicts.push_back(judge(place, bits, by_format[bits], unquantized));
  }
  return verdicts;
}

std::string verdict_text(const Verdict& verdict) {
  const Arm& best = verdict.arms.front();
  std::string text;
  if (verdict.arms.size() > 1)
    text = fmt::format("of {} quantized rows {} has the {} {}: {}", verdict.arms.size(), best.label,
                       verdict.higher_is_better ? "highest" : "lowest", verdict.metric,
                       estimate_text(best.estimate));
  else
    text = fmt::format("{} has {} {}", best.label, verdict.metric, estimate_text(best.estimate));
  if (!verdict.unquantized.empty())
    text +=
        fmt::format("; {} has {}, so it differs by {} (p {})", verdict.unquantized.front().label,
                    format_measured(verdict.unquantized.front().estimate.value),
                    with_interval(verdict.lost), p_text(verdict.lost.p));
  text += ".";
  if (verdict.arms.size() < 2) return text;
  const bool told = verdict.lead.p < 1 - kConfidence;
  text += fmt::format(" Its lead over the next, {} ({}), is {} (p {}, {}): {}.",
                      verdict.arms[1].label, format_measured(verdict.arms[1].estimate.value),
                      with_interval(verdict.lead), p_text(verdict.lead.p), verdict.lead.over,
                      told ? "beyond noise" : "within noise, so the two are not told apart");
  if (!verdict.worse.empty())
    text += fmt::format(" Worse than the best beyond noise: {}.", fmt::join(verdict.worse, ", "));
  if (verdict.not_told_apart.size() > 1)
    text +=
        fmt::format(" Not told apart from the best: {}.", fmt::join(verdict.not_told_apart, ", "));
  return text;
}

}  // namespace harness
