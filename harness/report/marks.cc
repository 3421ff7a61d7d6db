#include "harness/report/marks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "harness/core/text.h"
#include "harness/report/comparison.h"
#include "harness/report/metric_kind.h"
#include "harness/report/statistics.h"

namespace harness {
namespace {

/// The row of the reference; the number of rows: none.
std::size_t find_reference(const std::vector<RowRuns>& rows, const std::string& label) {
  if (!label.empty()) return row_of_label(rows, label, "the reference of the table");
  std::map<std::string, int> quantized;  // rows of each model
  for (const RowRuns& row : rows)
    if (!unquantized(row)) ++quantized[row.front()->model_name()];
  std::size_t found = rows.size();
  int most = 0;
  for (std::size_t r = 0; r < rows.size(); ++r)
    if (const int count = quantized[rows[r].front()->model_name()];
        unquantized(rows[r]) && count > most) {
      found = r;
      most = count;
    }
  return found;
}

/// Rows that compete: they quantize one model to one format, whatever the details of it.
std::string competition(const RowRuns& row) {
  return row.front()->model_name() + "\n" + row.front()->bits();
}

}  // namespace

void Marks::put_on(Cell& cell, std::size_t row, const MetricName& column) const {
  cell.best = best.count({row, column}) > 0;
  auto found = p.find({row, column});
  if (found == p.end()) return;
  cell.differs = found->second < kAlpha;
  cell.details.emplace_back("p against the reference", shortest(found->second));
}

Marks find_marks(const ResultStore& store, const std::vector<RowRuns>& rows,
                 const std::vector<MetricName>& columns, const std::string& reference) {
  Marks marks;
  const std::size_t against = find_reference(rows, reference);
  ItemCache reader(store);
  std::set<std::string> tests_against, tests_of_best;
  int contests = 0;
  auto test = [&](const RowRuns& one, const RowRuns& other, const MetricName& name,
                  std::set<std::string>& tests) {
    const Comparison comparison = compare_rows(reader, one, reader, other, name);
    const double p = comparison.paired ? comparison.paired->p() : std::nan("");
    if (!std::isnan(p)) tests.insert(comparison.paired->test_name());
    return p;
  };

  // Row by row, so that the items of each are read once.
  std::map<MetricName, std::vector<double>> p_values;
  for (const MetricName& name : columns) p_values[name].resize(rows.size(), std::nan(""));
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (const MetricName& name : columns)
      if (against < rows.size() && r != against)
        p_values[name][r] = test(rows[against], rows[r], name, tests_against);
  for (const MetricName& name : columns) {
    const std::vector<double> adjusted = holm(p_values[name]);
    for (std::size_t r = 0; r < rows.size(); ++r)
      if (!std::isnan(adjusted[r])) marks.p[{r, name}] = adjusted[r];
  }

  for (const MetricName& name : columns) {
    const std::optional<bool> higher = metric_kind(name.metric).higher_is_better;
    if (!higher) continue;
    std::map<std::string, std::vector<std::pair<double, std::size_t>>> contenders;
    for (std::size_t r = 0; r < rows.size(); ++r) {
      std::vector<double> values;
      for (const auto& [seed, value] : values_by_seed(rows[r], name)) values.push_back(value);
      const double center = mean(values);
      if (!unquantized(rows[r]) && !std::isnan(center))
        contenders[competition(rows[r])].push_back({*higher ? -center : center, r});
    }
    for (auto& [format, ranked] : contenders) {
      if (ranked.size() < 2) continue;
      std::sort(ranked.begin(), ranked.end());
      const double p = test(rows[ranked[1].second], rows[ranked[0].second], name, tests_of_best);
      contests += !std::isnan(p);
      if (p < kAlpha) marks.best.insert({ranked[0].second, name});
    }
  }

  if (!tests_against.empty())
    marks.notes.push_back(fmt::format(
        "†: differs from {}, the reference (p < {}, Holm over the runs of its column; {})",
        rows[against].front()->label, kAlpha, fmt::join(tests_against, ", ")));
  if (!tests_of_best.empty())
    marks.notes.push_back(fmt::format(
        "★: best of its format, and its lead over the runner-up is outside noise (p < {}; {}): {} "
        "of {}",
        kAlpha, fmt::join(tests_of_best, ", "), marks.best.size(), contests));
  return marks;
}

}  // namespace harness
