#include "harness/report/paired_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "harness/core/error.h"
#include "harness/core/text.h"
#include "harness/report/statistics.h"
#include "harness/store/lookup.h"

namespace harness {
namespace {

struct Item {
  double score = 0;
  std::string cluster;
};
using Items = std::map<std::pair<std::string, std::string>, Item>;  // by id and repeat

struct Metric {
  std::string name;
  double value = 0;
};
/// What one eval measured of one run.
struct Measured {
  std::string protocol, attempt;
  std::vector<Metric> metrics;
};
struct Run {
  std::string label, seed;
  std::vector<Measured> evals;
};

double number(const std::optional<std::string>& text) {
  double value = std::nan("");
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

std::vector<Run> read_runs(const ResultStore& store, const std::string& experiment_key) {
  const auto found = store.query(
      "SELECT position, label, seed, protocol, attempt, metric, value, kind = 'eval' AND "
      "attempt_status = 'succeeded' FROM results WHERE experiment_key = :key "
      "ORDER BY position, stage_position, metric_position",
      {{"key", experiment_key}});
  std::vector<Run> runs;
  std::string place;
  for (const auto& row : found.rows) {
    if (runs.empty() || place != *row[0]) {
      place = *row[0];
      runs.push_back({row[1].value_or(""), row[2].value_or(""), {}});
    }
    if (row[7].value_or("0") != "1" || !row[5]) continue;
    std::vector<Measured>& evals = runs.back().evals;
    if (evals.empty() || evals.back().attempt != *row[4])
      evals.push_back({row[3].value_or(""), *row[4], {}});
    evals.back().metrics.push_back({*row[5], number(row[6])});
  }
  return runs;
}

Items read_items(const ResultStore& store, const std::string& attempt) {
  const auto found =
      store.query("SELECT id, repeat, score, cluster FROM items WHERE attempt = :attempt",
                  {{"attempt", attempt}});
  Items items;
  for (const auto& row : found.rows)
    items[{*row[0], *row[1]}] = {number(row[2]), row[3].value_or("")};
  return items;
}

/// The scores of the same items in two runs.
struct Pairs {
  std::vector<double> reference, run, difference;
  std::vector<std::string> clusters;
};

Pairs pair_up(const Items& reference, const Items& run) {
  Pairs pairs;
  for (const auto& [id, item] : reference) {
    auto found = run.find(id);
    if (found == run.end()) continue;
    pairs.reference.push_back(item.score);
    pairs.run.push_back(found->second.score);
    pairs.difference.push_back(found->second.score - item.score);
    pairs.clusters.push_back(item.cluster);
  }
  return pairs;
}

bool near(double a, double b) { return std::abs(a - b) <= 1e-9 * std::max(1.0, std::abs(b)); }

const Metric* find_metric(const Measured& measured, const std::string& name) {
  for (const Metric& metric : measured.metrics)
    if (metric.name == name) return &metric;
  return nullptr;
}

Cell uncertain(double value, double error) {
  return {.text = format_measured(value, error),
          .exact = shortest(value),
          .details = {{"standard error", shortest(error)}}};
}
Cell nothing() { return {.text = "–", .exact = "", .details = {{"standard error", ""}}}; }

/// "+0.0312 ± 0.0021": a difference shows its sign.
Cell difference_cell(double value, double error) {
  Cell cell = uncertain(value, error);
  if (value > 0) cell.text = "+" + cell.text;
  return cell;
}

/// The row of a metric; none where it is neither the mean of the scores nor its exponential.
std::optional<std::vector<Cell>> metric_row(const Run& run, const std::string& protocol,
                                            const Metric& reference, const Metric& measured,
                                            const Pairs& pairs) {
  const double before = mean(pairs.reference), after = mean(pairs.run);
  const double change = mean(pairs.difference);
  const double error = clustered_standard_error(pairs.difference, pairs.clusters);
  std::vector<Cell> row = {{.text = run.label}, {.text = protocol}, {.text = measured.name}};
  auto value = [](const Metric& metric) {
    return Cell{.text = format_measured(metric.value), .exact = shortest(metric.value)};
  };
  row.push_back(value(reference));
  row.push_back(value(measured));
  if (near(reference.value, before) && near(measured.value, after)) {
    row.push_back(difference_cell(change, error));
    row.push_back(nothing());
  } else if (near(reference.value, std::exp(before)) && near(measured.value, std::exp(after))) {
    // Delta method: the difference of the exponentials moves with P' x' - P x of each item, their
    // ratio with exp(x' - x).
    std::vector<double> moves;
    for (std::size_t i = 0; i < pairs.run.size(); ++i)
      moves.push_back(measured.value * pairs.run[i] - reference.value * pairs.reference[i]);
    row.push_back(difference_cell(measured.value - reference.value,
                                  clustered_standard_error(moves, pairs.clusters)));
    row.push_back(uncertain(std::exp(change), std::exp(change) * error));
  } else {
    return std::nullopt;
  }
  const auto up = std::count_if(pairs.difference.begin(), pairs.difference.end(),
                                [](double difference) { return difference > 0; });
  const auto down = std::count_if(pairs.difference.begin(), pairs.difference.end(),
                                  [](double difference) { return difference < 0; });
  row.push_back({.text = std::to_string(pairs.run.size())});
  row.push_back({.text = std::to_string(up)});
  row.push_back({.text = std::to_string(down)});
  return row;
}

/// The reference of the run's seed, or the only one.
const Run* reference_of(const Run& run, const std::vector<const Run*>& references) {
  for (const Run* reference : references)
    if (reference->seed == run.seed) return reference;
  return references.size() == 1 ? references.front() : nullptr;
}

}  // namespace

Table paired_table(const ResultStore& store, const std::string& experiment,
                   const std::string& reference) {
  const ExperimentName found = find_experiment(store, experiment);
  const std::vector<Run> runs = read_runs(store, found.key);
  std::vector<const Run*> references;
  std::set<std::string> labels;
  for (const Run& run : runs) {
    labels.insert(run.label);
    if (run.label == reference) references.push_back(&run);
  }
  if (references.empty())
    throw Error(fmt::format("experiment {}", found.name),
                fmt::format("no run has the label \"{}\"", reference),
                fmt::format("one of {}", fmt::join(labels, ", ")));

  Table table;
  table.caption = fmt::format("{}: each run against {}, item by item", found.name, reference);
  const Alignment right = Alignment::right;
  table.columns = {{.title = "run"},
                   {.title = "protocol"},
                   {.title = "metric"},
                   {.title = "reference", .alignment = right},
                   {.title = "value", .alignment = right},
                   {.title = "difference", .alignment = right},
                   {.title = "ratio", .alignment = right},
                   {.title = "items", .alignment = right},
                   {.title = "higher", .alignment = right},
                   {.title = "lower", .alignment = right}};
  for (const Run& run : runs) {
    if (run.label == reference) continue;
    const Run* against = reference_of(run, references);
    bool compared = false;
    for (const Measured& measured : run.evals) {
      if (!against) break;
      auto other =
          std::find_if(against->evals.begin(), against->evals.end(),
                       [&](const Measured& each) { return each.protocol == measured.protocol; });
      if (other == against->evals.end()) continue;
      const Items before = read_items(store, other->attempt);
      const Items after = read_items(store, measured.attempt);
      const Pairs pairs = pair_up(before, after);
      if (pairs.run.empty() || pairs.run.size() != before.size() ||
          pairs.run.size() != after.size()) {
        table.notes.push_back(fmt::format(
            "{}, {}: not compared, {} of its {} items are among the reference's {} (another "
            "tokenizer, or another number of items)",
            run.label, measured.protocol, pairs.run.size(), after.size(), before.size()));
        compared = true;
        continue;
      }
      std::vector<std::string> others;
      for (const Metric& metric : measured.metrics) {
        const Metric* base = find_metric(*other, metric.name);
        auto row = base ? metric_row(run, measured.protocol, *base, metric, pairs) : std::nullopt;
        if (row)
          table.rows.push_back(std::move(*row));
        else
          others.push_back(metric.name);
      }
      if (!others.empty())
        table.notes.push_back(fmt::format("{}, {}: no mean over items, so not paired: {}",
                                          run.label, measured.protocol, fmt::join(others, ", ")));
      compared = true;
    }
    if (!compared)
      table.notes.push_back(
          fmt::format("{}: nothing was measured of it and of the reference too", run.label));
  }
  table.notes.push_back(
      "±: standard error from the items' differences; higher, lower: items whose score rose or "
      "fell");
  return table;
}

}  // namespace harness
