#include "harness/report/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "harness/report/metric_kind.h"
#include "harness/report/table.h"
#include "harness/store/lookup.h"

namespace harness {
namespace {

Arm make_arm(const RowRuns& row, const MetricName& name) {
  Arm arm{row.front()->label, {}, {}};
  std::vector<Measurement> measurements;
  for (const StoredRun* run : row)
    if (const auto found = run->metrics.find(name); found != run->metrics.end()) {
      arm.runs.push_back(run->key);
      const Measured& measured = found->second;
      measurements.push_back({measured.value, measured.standard_error, measured.count, run->model});
    }
  arm.estimate = estimate(measurements);
  return arm;
}

bool has(const RowRuns& row, const MetricName& name) {
  return std::any_of(row.begin(), row.end(), [&](const StoredRun* run) {
    const auto found = run->metrics.find(name);
    return found != run->metrics.end() && std::isfinite(found->second.value);
  });
}

/// @param rows  of one model and, unless `format` is empty, one format; not empty
SafetyVerdict judge(ItemCache& reader, const std::string& format, const MetricName& name,
                    bool higher, std::vector<const RowRuns*> rows, const RowRuns* unquantized) {
  SafetyVerdict verdict{
      rows.front()->front()->model_name(), format, name, higher, {}, {}, {}, {}, {}};
  std::map<const RowRuns*, Arm> arms;
  for (const RowRuns* row : rows) arms[row] = make_arm(*row, name);
  std::stable_sort(rows.begin(), rows.end(), [&](const RowRuns* a, const RowRuns* b) {
    const double x = arms[a].estimate.value, y = arms[b].estimate.value;
    return higher ? x > y : x < y;
  });
  for (const RowRuns* row : rows) {
    verdict.arms.push_back(arms[row]);
    std::optional<PairedValues> paired;
    if (row != rows.front())
      paired = compare_rows(reader, *row, reader, *rows.front(), name).paired;
    verdict.p.push_back(paired ? paired->p() : std::nan(""));
    if (verdict.arms.size() == 2) verdict.lead = std::move(paired);
  }
  verdict.p = holm(verdict.p);
  if (unquantized) {
    verdict.unquantized = make_arm(*unquantized, name);
    verdict.lost = compare_rows(reader, *unquantized, reader, *rows.front(), name).paired;
  }
  return verdict;
}

/// The metrics of safety that the table shows, the telling ones first.
std::vector<MetricName> safety_metrics(const ResultStore& store, const ExperimentName& experiment,
                                       const std::vector<MetricName>& all) {
  const ShownMetrics wanted = shown_metrics(store, experiment.key);
  std::vector<MetricName> names;
  for (const MetricName& name : all) {
    const MetricKind kind = metric_kind(name.metric);
    if (kind.aspect == Aspect::safety && kind.higher_is_better && wanted.includes(name.metric))
      names.push_back(name);
  }
  std::stable_sort(names.begin(), names.end(), [](const MetricName& a, const MetricName& b) {
    return metric_kind(a.metric).rank < metric_kind(b.metric).rank;
  });
  return names;
}

/// What a verdict says in a few words, and whether that is that one method keeps safety best.
std::pair<std::string, bool> title_of(const SafetyVerdict& verdict, bool disputed) {
  if (verdict.arms.size() < 2) return {"One method only: nothing to compare", false};
  const std::string& best = verdict.arms.front().label;
  const char* extreme = verdict.higher_is_better ? "highest" : "lowest";
  if (!verdict.told())
    return {fmt::format("No method is ahead beyond noise; {} has the {} value", best, extreme),
            false};
  if (disputed)
    return {fmt::format("{} has the {} {}, but is behind by other metrics of safety", best, extreme,
                        verdict.name.metric),
            false};
  if (verdict.beyond_unquantized())
    return {fmt::format("{} has the {} {}, beyond the unquantized model: changed rather than kept",
                        best, extreme, verdict.name.metric),
            false};
  return {best + " keeps safety best", true};
}

/// "By refusal_auc it is behind QuaRot W4A16 beyond noise."
std::string contradictions_text(const std::vector<const SafetyVerdict*>& against) {
  std::string text;
  for (const SafetyVerdict* other : against)
    text += fmt::format(" By {} it is behind {} beyond noise.", other->name.metric,
                        other->arms.front().label);
  return text;
}

}  // namespace

std::string difference_text(const PairedValues& paired) {
  const Interval interval = paired.interval();
  const double half = (interval.high - interval.low) / 2;
  std::string text = fmt::format("{}{}", paired.difference() > 0 ? "+" : "",
                                 format_value(paired.difference(), half));
  if (std::isfinite(half))
    text += fmt::format(" ({})", format_interval(interval.low, interval.high, true));
  return text;
}

bool SafetyVerdict::told() const { return lead && lead->p() < kAlpha; }

bool SafetyVerdict::beyond_unquantized() const {
  return lost && lost->p() < kAlpha && (lost->difference() > 0) == higher_is_better;
}

std::vector<std::string> SafetyVerdict::worse() const {
  std::vector<std::string> labels;
  for (std::size_t i = 1; i < arms.size(); ++i)
    if (p[i] < kAlpha) labels.push_back(arms[i].label);
  return labels;
}

std::vector<std::string> SafetyVerdict::others() const {
  std::vector<std::string> labels;
  for (std::size_t i = 1; i < arms.size(); ++i)
    if (!(p[i] < kAlpha)) labels.push_back(arms[i].label);
  return labels;
}

std::vector<SafetyVerdict> safety_verdicts(const ResultStore& store,
                                           const std::string& experiment) {
  const ExperimentName found = find_experiment(store, experiment);
  std::vector<MetricName> all;
  const std::vector<StoredRun> runs = read_runs(store, found.key, all);
  const std::vector<RowRuns> rows = group_by_seed(runs);
  ItemCache reader(store);
  std::vector<SafetyVerdict> verdicts;
  for (const MetricName& name : safety_metrics(store, found, all)) {
    std::map<std::string, const RowRuns*> unquantized_rows;  // by model
    // By model the formats in their order, and the rows of each.
    std::map<std::string, std::vector<std::pair<std::string, std::vector<const RowRuns*>>>> models;
    for (const RowRuns& row : rows) {
      if (!has(row, name)) continue;
      const std::string model = row.front()->model_name();
      if (unquantized(row)) {
        unquantized_rows.emplace(model, &row);
        continue;
      }
      auto& formats = models[model];
      const std::string bits = row.front()->bits();
      auto place = std::find_if(formats.begin(), formats.end(),
                                [&](const auto& each) { return each.first == bits; });
      if (place == formats.end()) place = formats.insert(place, {bits, {}});
      place->second.push_back(&row);
    }
    for (auto& [model, formats] : models) {
      const bool alone = std::all_of(formats.begin(), formats.end(),
                                     [](const auto& each) { return each.second.size() == 1; });
      if (alone && formats.size() > 1) {  // nothing to compare inside a format
        for (std::size_t i = 1; i < formats.size(); ++i)
          formats[0].second.push_back(formats[i].second.front());
        formats.resize(1);
        formats[0].first = std::string();
      }
      const auto reference = unquantized_rows.find(model);
      for (const auto& [format, of_format] : formats)
        verdicts.push_back(
            judge(reader, format, name, *metric_kind(name.metric).higher_is_better, of_format,
                  reference == unquantized_rows.end() ? nullptr : reference->second));
    }
  }
  return verdicts;
}

std::vector<const SafetyVerdict*> contradictions(const SafetyVerdict& verdict,
                                                 const std::vector<SafetyVerdict>& verdicts) {
  std::vector<const SafetyVerdict*> found;
  for (const SafetyVerdict& other : verdicts) {
    const std::vector<std::string> worse = other.worse();
    if (other.model == verdict.model && other.format == verdict.format &&
        std::find(worse.begin(), worse.end(), verdict.arms.front().label) != worse.end())
      found.push_back(&other);
  }
  return found;
}

bool is_disputed(const SafetyVerdict& verdict, const std::vector<SafetyVerdict>& verdicts) {
  // Of a share that is better the lower, what counts is the rest of it.
  auto kept = [&](const Arm& arm) {
    return verdict.higher_is_better ? arm.estimate.value : 1 - arm.estimate.value;
  };
  const double whole = kept(verdict.unquantized ? *verdict.unquantized : verdict.arms.front());
  const std::vector<const SafetyVerdict*> against = contradictions(verdict, verdicts);
  return std::any_of(against.begin(), against.end(), [&](const SafetyVerdict* other) {
    return std::any_of(verdict.arms.begin(), verdict.arms.end(), [&](const Arm& arm) {
      return arm.label == other->arms.front().label && kept(arm) >= whole / 2;
    });
  });
}

std::string verdict_text(const SafetyVerdict& verdict) {
  const Arm& best = verdict.arms.front();
  std::string text;
  if (verdict.arms.size() > 1)
    text = fmt::format("Of {} quantized rows {} has the {} {}: {}", verdict.arms.size(), best.label,
                       verdict.higher_is_better ? "highest" : "lowest", verdict.name.metric,
                       estimate_text(best.estimate));
  else
    text =
        fmt::format("{} has {} {}", best.label, verdict.name.metric, estimate_text(best.estimate));
  if (verdict.unquantized)
    text += fmt::format("; unquantized ({}) it is {}", verdict.unquantized->label,
                        format_measured(verdict.unquantized->estimate.value));
  if (verdict.lost)
    text += fmt::format(", a change of {}, p = {}", difference_text(*verdict.lost),
                        format_p(verdict.lost->p()));
  text += ".";
  if (verdict.arms.size() < 2) return text;
  if (verdict.lead)
    text += fmt::format(
        " Against the next, {} ({}), that is {}, p = {} ({}): {}.", verdict.arms[1].label,
        format_measured(verdict.arms[1].estimate.value), difference_text(*verdict.lead),
        format_p(verdict.lead->p()), verdict.lead->test(),
        verdict.told() ? "beyond noise" : "within noise, so the two are not told apart");
  else
    text += fmt::format(" Next is {} ({}); the two cannot be paired.", verdict.arms[1].label,
                        format_measured(verdict.arms[1].estimate.value));
  const auto worse = verdict.worse(), others = verdict.others();
  if (!worse.empty()) text += fmt::format(" Behind it beyond noise: {}.", fmt::join(worse, ", "));
  if (!others.empty()) text += fmt::format(" Not told apart from it: {}.", fmt::join(others, ", "));
  return text;
}

std::vector<Summary> summaries(const std::vector<SafetyVerdict>& verdicts) {
  std::vector<Summary> result;
  std::set<std::pair<std::string, std::string>> said;
  for (const SafetyVerdict& verdict : verdicts) {
    if (!said.emplace(verdict.model, verdict.format).second) continue;
    const auto [title, keeps_best] = title_of(verdict, is_disputed(verdict, verdicts));
    result.push_back(
        {&verdict, title, keeps_best,
         verdict_text(verdict) + contradictions_text(contradictions(verdict, verdicts))});
  }
  return result;
}

}  // namespace harness
