#include "harness/report/paired_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "harness/core/text.h"
#include "harness/store/lookup.h"

namespace harness {
namespace {

Cell plain(double value) { return {.text = format_measured(value), .exact = shortest(value)}; }
Cell uncertain(double value, double error) {
  return {.text = format_measured(value, error),
          .exact = shortest(value),
          .details = {{"standard error", shortest(error)}}};
}
Cell nothing() { return {.text = "–", .exact = "", .details = {{"standard error", ""}}}; }

/// "+0.0312 ± 0.0021": a difference shows its sign.
Cell difference_cell(const PairedValues& paired) {
  Cell cell = uncertain(paired.difference(), paired.standard_error());
  if (paired.difference() > 0) cell.text = "+" + cell.text;
  return cell;
}

Cell interval_cell(const PairedValues& paired) {
  const Interval interval = paired.interval();
  const bool ratio = paired.exponential;
  return {.text = (ratio ? "× " : "") + format_interval(interval.low, interval.high, !ratio),
          .exact = shortest(interval.low),
          .details = {{"to", shortest(interval.high)}}};
}

/// Delta method: the ratio of the exponentials moves with exp(x' - x).
Cell ratio_cell(const PairedValues& paired) {
  if (!paired.exponential) return nothing();
  const double ratio = paired.value / paired.reference;
  return uncertain(ratio, ratio * clustered_standard_error(paired.differences(), paired.clusters));
}

std::vector<double> adjusted_by_family(const std::vector<ComparedMetric>& compared) {
  std::map<std::string, std::vector<std::size_t>> families;
  for (std::size_t i = 0; i < compared.size(); ++i) families[compared[i].family].push_back(i);
  std::vector<double> adjusted(compared.size());
  for (const auto& [name, members] : families) {
    std::vector<double> p;
    for (std::size_t i : members) p.push_back(compared[i].paired.p());
    p = holm(p);
    for (std::size_t i = 0; i < members.size(); ++i) adjusted[members[i]] = p[i];
  }
  return adjusted;
}

void add_notes(Table& table, const std::vector<ComparedMetric>& compared) {
  bool items = false, seeds = false, exponential = false;
  std::set<std::string> tests;
  std::map<std::string, std::int64_t> left_out;
  for (const ComparedMetric& each : compared) {
    (each.paired.of_seeds() ? seeds : items) = true;
    exponential = exponential || each.paired.exponential;
    tests.insert(each.paired.test_name());
    if (each.paired.left_out > 0)
      left_out[each.name.metric] = std::max(left_out[each.name.metric], each.paired.left_out);
  }
  if (compared.empty()) return;
  table.notes.push_back(fmt::format(
      "±: standard error from the differences of {}; higher, lower: how many of them rose or fell",
      items && seeds ? "items, or of seeds"
      : seeds        ? "seeds"
                     : "items"));
  table.notes.push_back(
      fmt::format("{:.0f} % interval: {}{}{}", 100 * kConfidence,
                  items ? "paired bootstrap (of the counts of independent 0/1 items, else of "
                          "clusters or of blocks of windows)"
                        : "",
                  items && seeds ? "; over seeds t"
                  : seeds        ? "t"
                                 : "",
                  exponential ? "; ×: of the ratio" : ""));
  table.notes.push_back(fmt::format("p: two-sided, of no difference: {}", fmt::join(tests, ", ")));
  for (const auto& [metric, count] : left_out)
    table.notes.push_back(fmt::format(
        "{}: up to {} items have a value of one of the two only and are left out", metric, count));
}

/// The row of the reference that a row is compared with: that of its model's seeds, or the only
/// one.
const RowRuns* reference_of(const RowRuns& row, const std::vector<const RowRuns*>& references) {
  for (const RowRuns* reference : references)
    for (const StoredRun* run : *reference)
      if (run->seeds() == row.front()->seeds()) return reference;
  return references.size() == 1 ? references.front() : nullptr;
}

/// "RTN", or "RTN (seed 3)" for a run beside others of its label.
std::string row_name(const RowRuns& row, const std::vector<RowRuns>& rows) {
  const StoredRun& run = *row.front();
  const auto of_label = std::count_if(rows.begin(), rows.end(), [&](const RowRuns& other) {
    return other.front()->label == run.label;
  });
  return row.size() > 1 || of_label == 1 ? run.label
                                         : fmt::format("{} (seed {})", run.label, run.seeds());
}

/// Metrics that were not compared, by row and reason.
using Reasons = std::map<std::string, std::vector<std::string>>;

void add_reasons(Table& table, const std::string& row, const Reasons& reasons) {
  for (const auto& [reason, metrics] : reasons)
    table.notes.push_back(
        fmt::format("{}: {}, so not paired: {}", row, reason, fmt::join(metrics, ", ")));
}

}  // namespace

void add_comparisons(Table& table, const std::vector<ComparedMetric>& compared) {
  constexpr Alignment kRight = Alignment::right;
  std::set<std::string> protocols;
  for (const ComparedMetric& each : compared) protocols.insert(each.name.protocol);
  const std::string percent = fmt::format("{:.0f} % interval", 100 * kConfidence);
  for (Column column :
       std::vector<Column>{{.title = "protocol", .machine_only = protocols.size() < 2},
                           {.title = "metric"},
                           {.title = "reference", .alignment = kRight},
                           {.title = "value", .alignment = kRight},
                           {.title = "difference", .alignment = kRight},
                           {.title = percent, .alignment = kRight},
                           {.title = "ratio", .alignment = kRight},
                           {.title = "p", .alignment = kRight},
                           {.title = "p (Holm)", .alignment = kRight},
                           {.title = "test", .machine_only = true},
                           {.title = "items", .alignment = kRight},
                           {.title = "higher", .alignment = kRight},
                           {.title = "lower", .alignment = kRight}})
    table.columns.push_back(std::move(column));
  const std::vector<double> adjusted = adjusted_by_family(compared);
  for (std::size_t i = 0; i < compared.size(); ++i) {
    const PairedValues& paired = compared[i].paired;
    std::vector<Cell> row = compared[i].leading;
    row.push_back({.text = compared[i].name.protocol});
    row.push_back({.text = compared[i].name.metric});
    row.push_back(plain(paired.reference));
    row.push_back(plain(paired.value));
    row.push_back(difference_cell(paired));
    row.push_back(interval_cell(paired));
    row.push_back(ratio_cell(paired));
    for (const double p : {paired.p(), adjusted[i]})
      row.push_back({.text = format_p(p), .exact = shortest(p)});
    row.push_back({.text = paired.test()});
    row.push_back(
        {.text = fmt::format("{}{}", paired.before.size(), paired.of_seeds() ? " seeds" : ""),
         .exact = std::to_string(paired.before.size())});
    row.push_back({.text = std::to_string(paired.higher())});
    row.push_back({.text = std::to_string(paired.lower())});
    table.rows.push_back(std::move(row));
  }
  if (protocols.size() == 1) table.notes.push_back("Protocol: " + *protocols.begin());
  add_notes(table, compared);
}

namespace {

/// Rows of one experiment, to be compared with each other.
class RowComparison {
 public:
  RowComparison(const ResultStore& store, const std::string& experiment)
      : experiment_(find_experiment(store, experiment)),
        runs_(read_runs(store, experiment_.key, metrics_)),
        rows_(group_by_seed(runs_)),
        reader_(store) {}

  const ExperimentName& experiment() const { return experiment_; }
  const std::vector<RowRuns>& rows() const { return rows_; }
  std::vector<const RowRuns*> of_label(const std::string& label) const {
    std::vector<const RowRuns*> found;
    for (const RowRuns& row : rows_)
      if (row.front()->label == label) found.push_back(&row);
    return found;
  }
  /// The labels in the order of their first rows.
  std::vector<std::string> labels() const {
    std::vector<std::string> found;
    for (const RowRuns& row : rows_)
      if (std::find(found.begin(), found.end(), row.front()->label) == found.end())
        found.push_back(row.front()->label);
    return found;
  }
  void leave_out_what_is_not_shown(const ShownMetrics& shown) {
    std::erase_if(metrics_, [&](const MetricName& name) { return !shown.includes(name.metric); });
  }

  /// Compares a row with the reference that fits it.
  /// @param leading  the cells before the comparison's
  /// @param notes    what was not compared, and why, is added
  void compare(const RowRuns& row, const std::vector<const RowRuns*>& references,
               const std::vector<Cell>& leading, Table& notes,
               std::vector<ComparedMetric>& compared) {
    const RowRuns* against = reference_of(row, references);
    const std::string name = row_name(row, rows_);
    Reasons reasons;
    bool measured_both = false;
    for (const MetricName& metric : metrics_) {
      if (!against || values_by_seed(row, metric).empty() ||
          values_by_seed(*against, metric).empty())
        continue;
      measured_both = true;
      Comparison comparison = compare_rows(reader_, *against, reader_, row, metric);
      if (comparison.paired)
        compared.push_back({leading, metric, std::move(*comparison.paired),
                            metric.protocol + "\n" + metric.metric});
      else
        reasons[metric.protocol + ": " + comparison.why_not].push_back(metric.metric);
    }
    add_reasons(notes, name, reasons);
    if (!measured_both)
      notes.notes.push_back(
          fmt::format("{}: nothing was measured of it and of the reference too", name));
  }

 private:
  ExperimentName experiment_;
  std::vector<MetricName> metrics_;
  std::vector<StoredRun> runs_;
  std::vector<RowRuns> rows_;
  ItemCache reader_;
};

}  // namespace

Table paired_table(const ResultStore& store, const std::string& experiment,
                   const std::string& reference) {
  RowComparison comparison(store, experiment);
  const std::string& name = comparison.experiment().name;
  row_of_label(comparison.rows(), reference, fmt::format("experiment {}", name));
  const std::vector<const RowRuns*> references = comparison.of_label(reference);
  Table table;
  table.caption = fmt::format("{}: each run against {}", name, reference);
  table.columns = {{.title = "run"}};
  std::vector<ComparedMetric> compared;
  for (const RowRuns& row : comparison.rows())
    if (row.front()->label != reference)
      comparison.compare(row, references, {{.text = row_name(row, comparison.rows())}}, table,
                         compared);
  add_comparisons(table, compared);
  if (!compared.empty())
    table.notes.push_back("(Holm): adjusted for the runs that a metric is compared of");
  return table;
}

Table all_pairs_table(const ResultStore& store, const std::string& experiment) {
  RowComparison comparison(store, experiment);
  comparison.leave_out_what_is_not_shown(shown_metrics(store, comparison.experiment().key));
  Table table;
  table.caption = fmt::format("{}: every two runs", comparison.experiment().name);
  table.columns = {{.title = "run"}, {.title = "against"}};
  std::vector<ComparedMetric> compared;
  const std::vector<std::string> labels = comparison.labels();
  for (std::size_t a = 0; a < labels.size(); ++a)
    for (std::size_t b = a + 1; b < labels.size(); ++b)
      for (const RowRuns* row : comparison.of_label(labels[b]))
        comparison.compare(*row, comparison.of_label(labels[a]),
                           {{.text = row_name(*row, comparison.rows())}, {.text = labels[a]}},
                           table, compared);
  add_comparisons(table, compared);
  if (!compared.empty())
    table.notes.push_back("(Holm): adjusted for all pairs of runs that a metric is compared of");
  return table;
}

}  // namespace harness
