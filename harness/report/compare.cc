#include "harness/report/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <list>
#include <map>
#include <set>

#include "harness/core/error.h"
#include "harness/core/text.h"
#include "harness/report/comparison.h"
#include "harness/report/paired_table.h"
#include "harness/report/runs.h"
#include "harness/store/lookup.h"

namespace harness {
namespace {

/// One row of each of two databases.
struct RowPair {
  std::string name;  // of both
  RowRuns a, b;
};

/// All that is compared, and where it is stored.
struct Sides {
  const ResultStore& store_a;
  const ResultStore& store_b;
  std::string a, b;  // what people call them
  std::vector<RowPair> rows;
  std::vector<MetricName> metrics;
};

/// Which values each key has on one side.
using Facts = std::map<std::string, std::set<std::string>>;

void add_facts(Facts& facts, const ResultStore& store, const std::string& sql, const StoredRun& run,
               const std::string& prefix) {
  for (const auto& row : store.query(sql, {{"run", run.key}}).rows)
    facts[prefix + *row[0]].insert(row[1].value_or("null"));
}

/// Leaves of the configuration, by their paths: "format.w.bits".
const char* const kConfigurationSql = R"(
  SELECT replace(substr(t.fullkey, 3), '"', ''), t.atom
  FROM runs r, json_tree(iif(json_valid(r.canonical), r.canonical,
                             json_object('canonical', r.canonical))) t
  WHERE r.key = :run AND t.type NOT IN ('object', 'array') AND t.fullkey <> '$.label')";

const char* const kProvenanceOfRunSql = R"(
  SELECT DISTINCT p.key, p.value
  FROM run_stages rs
  JOIN shown_attempts a ON a.stage_key = rs.stage_key
  JOIN provenance p ON p.attempt = a.id
  WHERE rs.run_key = :run)";

Facts facts_of(const ResultStore& store, const std::vector<RowPair>& rows, RowRuns RowPair::*side,
               const std::string& sql, bool by_row) {
  Facts facts;
  for (const RowPair& row : rows)
    for (const StoredRun* run : row.*side)
      add_facts(facts, store, sql, *run, by_row && rows.size() > 1 ? row.name + ": " : "");
  return facts;
}

std::string joined(const Facts& facts, const std::string& key) {
  auto found = facts.find(key);
  return found == facts.end() ? "–" : fmt::format("{}", fmt::join(found->second, ", "));
}

Table differing_facts(const Sides& sides, const std::string& what, const std::string& sql,
                      bool by_row) {
  const Facts a = facts_of(sides.store_a, sides.rows, &RowPair::a, sql, by_row);
  const Facts b = facts_of(sides.store_b, sides.rows, &RowPair::b, sql, by_row);
  std::set<std::string> keys;
  for (const Facts* side : {&a, &b})
    for (const auto& [key, values] : *side) keys.insert(key);
  Table table;
  table.caption = what + " that differs";
  table.columns = {{.title = "key"}, {.title = sides.a}, {.title = sides.b}};
  for (const std::string& key : keys)
    if (const std::string one = joined(a, key), other = joined(b, key); one != other)
      table.rows.push_back({{.text = key}, {.text = one}, {.text = other}});
  table.notes.push_back(fmt::format("{} of {} keys differ", table.rows.size(), keys.size()));
  return table;
}

std::vector<ComparedMetric> compared_metrics(const Sides& sides, Table& table) {
  ItemCache items_a(sides.store_a), items_b(sides.store_b);
  std::vector<ComparedMetric> compared;
  std::map<std::string, std::vector<std::string>> reasons;
  for (const RowPair& row : sides.rows)
    for (const MetricName& name : sides.metrics) {
      if (values_by_seed(row.a, name).empty() && values_by_seed(row.b, name).empty()) continue;
      Comparison comparison = compare_rows(items_a, row.a, items_b, row.b, name);
      std::vector<Cell> leading;
      if (sides.rows.size() > 1) leading.push_back({.text = row.name});
      if (comparison.paired)
        compared.push_back(
            {std::move(leading), name, std::move(*comparison.paired), name.protocol});
      else
        reasons[(sides.rows.size() > 1 ? row.name + ", " : "") + name.protocol + ": " +
                comparison.why_not]
            .push_back(name.metric);
    }
  for (const auto& [reason, metrics] : reasons)
    table.notes.push_back(fmt::format("{}, so not paired: {}", reason, fmt::join(metrics, ", ")));
  return compared;
}

/// The eval attempts that a row pair has in both, each once: protocol, and the two attempts.
struct EvalPair {
  std::string name, protocol, a, b;
  auto operator<=>(const EvalPair&) const = default;
};
std::set<EvalPair> eval_pairs(const RowPair& row) {
  std::set<EvalPair> result;
  for (const StoredRun* one : row.a)
    for (const StoredRun* other : row.b) {
      if ((row.a.size() > 1 || row.b.size() > 1) && one->seeds() != other->seeds()) continue;
      for (const auto& [name, measured] : one->metrics)
        if (auto found = other->metrics.find(name); found != other->metrics.end())
          result.insert({row.a.size() > 1 ? row.name + " (seed " + one->seeds() + ")" : row.name,
                         name.protocol, measured.attempt, found->second.attempt});
    }
  return result;
}

Table changed_items_table(const Sides& sides, std::size_t most) {
  Table table;
  table.caption = "Items that changed";
  table.columns = {{.title = "run", .machine_only = sides.rows.size() < 2},
                   {.title = "protocol"},
                   {.title = "of"},
                   {.title = "item"},
                   {.title = "cluster"},
                   {.title = sides.a, .alignment = Alignment::right},
                   {.title = sides.b, .alignment = Alignment::right}};
  ItemCache items_a(sides.store_a), items_b(sides.store_b);
  for (const RowPair& row : sides.rows)
    for (const EvalPair& eval : eval_pairs(row)) {
      const EvalItems &before = items_a.items(eval.a), &after = items_b.items(eval.b);
      const std::vector<ChangedItem> changed = changed_items(before, after);
      for (std::size_t i = 0; i < std::min(most, changed.size()); ++i)
        table.rows.push_back(
            {{.text = eval.name},
             {.text = eval.protocol},
             {.text = changed[i].part},
             {.text = changed[i].id},
             {.text = changed[i].cluster},
             {.text = format_measured(changed[i].before), .exact = shortest(changed[i].before)},
             {.text = format_measured(changed[i].after), .exact = shortest(changed[i].after)}});
      table.notes.push_back(fmt::format("{}{}: {} of {} items changed",
                                        sides.rows.size() > 1 ? eval.name + ", " : "",
                                        eval.protocol, changed.size(), before.items.size()));
    }
  return table;
}

/// Units that would show a difference, from what was seen of this one.
std::int64_t units_needed(const PairedValues& paired, double difference, const TestPlan& plan) {
  const auto n = static_cast<double>(paired.units());
  if (paired.counted()) {
    const double discordance = static_cast<double>(paired.higher() + paired.lower()) / n;
    return mcnemar_sample_size(std::max(discordance, std::abs(difference)), difference, plan);
  }
  return t_test_sample_size(difference, paired.standard_error() * std::sqrt(n), plan);
}

Table required_sizes(const std::vector<ComparedMetric>& compared, const CompareOptions& options) {
  Table table;
  table.caption = fmt::format("To see a difference of {} (power {}, two-sided p < {})",
                              shortest(*options.detect), shortest(options.plan.power),
                              shortest(options.plan.alpha));
  const Alignment right = Alignment::right;
  const std::size_t leading = compared.empty() ? 0 : compared.front().leading.size();
  if (leading > 0) table.columns.push_back({.title = "run"});
  for (Column column : std::vector<Column>{{.title = "metric"},
                                           {.title = "test"},
                                           {.title = "there are", .alignment = right},
                                           {.title = "needed", .alignment = right}})
    table.columns.push_back(std::move(column));
  for (const ComparedMetric& each : compared) {
    const PairedValues& paired = each.paired;
    // Without a spread, or in one unit, nothing can be said of what others would show.
    const double error = paired.standard_error();
    if (paired.units() < 2 || std::isnan(error) || (error == 0 && !paired.counted())) continue;
    std::vector<Cell> row = each.leading;
    row.push_back({.text = each.name.metric});
    row.push_back({.text = paired.test_name()});
    const std::string unit = paired.unit_name();
    row.push_back({.text = fmt::format("{} {}", paired.units(), unit)});
    row.push_back(
        {.text = fmt::format("{} {}", units_needed(paired, *options.detect, options.plan), unit)});
    table.rows.push_back(std::move(row));
  }
  table.notes.push_back(
      "Exact McNemar: at the share of items that differ here; others: a t test at the spread seen "
      "here. More of the same kind are meant.");
  return table;
}

std::vector<Table> compare(const Sides& sides, const CompareOptions& options) {
  Table metrics;
  metrics.caption = fmt::format("{} against {}", sides.b, sides.a);
  if (sides.rows.size() > 1) metrics.columns = {{.title = "run"}};
  const std::vector<ComparedMetric> compared = compared_metrics(sides, metrics);
  add_comparisons(metrics, compared);
  if (!compared.empty()) {
    std::map<std::string, int> tested;
    for (const ComparedMetric& each : compared)
      tested[each.name.protocol] += !std::isnan(each.paired.p());
    std::vector<std::string> families;
    for (const auto& [protocol, count] : tested)
      families.push_back(fmt::format("{} of {}", count, protocol));
    metrics.notes.push_back(
        fmt::format("(Holm): adjusted for the metrics of a protocol that are tested: {}",
                    fmt::join(families, ", ")));
  }
  std::vector<Table> tables = {std::move(metrics)};
  if (options.items > 0) tables.push_back(changed_items_table(sides, options.items));
  if (options.detect) tables.push_back(required_sizes(compared, options));
  tables.push_back(differing_facts(sides, "Configuration", kConfigurationSql, true));
  tables.push_back(differing_facts(sides, "Provenance", kProvenanceOfRunSql, false));
  return tables;
}

/// The runs of a row that find_runs means.
struct NamedRow {
  std::vector<StoredRun> runs;
  std::vector<MetricName> metrics;  // that were measured of it

  NamedRow(const ResultStore& store, const std::string& name) {
    const std::vector<RunName> found = find_runs(store, name);
    for (StoredRun& run : read_runs(store, found.front().experiment_key, metrics))
      if (std::any_of(found.begin(), found.end(),
                      [&](const RunName& wanted) { return wanted.key == run.key; }))
        runs.push_back(std::move(run));
    for (const StoredRun& run : runs)
      if (run.row() != runs.front().row())
        throw Error(store.path().string(),
                    fmt::format("\"{}\" means rows of several models or formats", name),
                    "one row of a table", "name a run by the beginning of its key");
    if (runs.empty())
      throw Error(store.path().string(),
                  fmt::format("\"{}\" is an earlier run of its experiment", name),
                  "one that stands in its table now", "run the experiment's file again");
    std::erase_if(metrics,
                  [&](const MetricName& name) { return values_by_seed(row(), name).empty(); });
  }
  RowRuns row() const {
    RowRuns row;
    for (const StoredRun& run : runs) row.push_back(&run);
    return row;
  }
};

std::vector<MetricName> in_both(const std::vector<MetricName>& a,
                                const std::vector<MetricName>& b) {
  std::vector<MetricName> result;
  for (const MetricName& name : a)
    if (std::find(b.begin(), b.end(), name) != b.end()) result.push_back(name);
  return result;
}

/// Says what only one side has.
void add_only(Table& table, const std::string& side, const std::set<std::string>& only) {
  if (!only.empty())
    table.notes.push_back(fmt::format("Only in {}: {}", side, fmt::join(only, ", ")));
}

/// Protocols of metrics that `other` has none of.
std::set<std::string> protocols_without(const std::vector<MetricName>& metrics,
                                        const std::vector<MetricName>& other) {
  std::set<std::string> protocols;
  for (const MetricName& name : metrics) protocols.insert(name.protocol);
  for (const MetricName& name : other) protocols.erase(name.protocol);
  return protocols;
}

}  // namespace

std::vector<Table> compare_runs(const ResultStore& store_a, const std::string& a,
                                const ResultStore& store_b, const std::string& b,
                                const CompareOptions& options) {
  const NamedRow one(store_a, a), other(store_b, b);
  const Sides sides{
      store_a, store_b, a, b, {{b, one.row(), other.row()}}, in_both(one.metrics, other.metrics)};
  std::vector<Table> tables = compare(sides, options);
  add_only(tables.front(), a, protocols_without(one.metrics, other.metrics));
  add_only(tables.front(), b, protocols_without(other.metrics, one.metrics));
  return tables;
}

std::vector<Table> compare_databases(const ResultStore& a, const ResultStore& b,
                                     const CompareOptions& options) {
  Sides sides{a, b, a.path().string(), b.path().string(), {}, {}};
  // Runs stay where they are while rows point at them.
  std::list<std::vector<StoredRun>> kept;
  using Rows = std::map<std::string, std::vector<RowRuns>>;  // by experiment, in its order
  std::vector<MetricName> metrics_a, metrics_b;
  auto rows_of = [&](const ResultStore& store, std::vector<MetricName>& metrics) {
    Rows rows;
    for (const auto& row : store.query("SELECT DISTINCT name FROM experiments").rows)
      rows[*row[0]] = group_by_seed(
          kept.emplace_back(read_runs(store, find_experiment(store, *row[0]).key, metrics)));
    return rows;
  };
  const Rows rows_a = rows_of(a, metrics_a), rows_b = rows_of(b, metrics_b);
  sides.metrics = in_both(metrics_a, metrics_b);

  std::set<std::string> only_a, only_b;
  auto name_of = [&](const std::string& experiment, const RowRuns& row) {
    const std::string label = row.front()->label;
    return rows_a.size() > 1 || rows_b.size() > 1 ? experiment + "/" + label : label;
  };
  for (const auto& [experiment, rows] : rows_b)
    for (const RowRuns& row : rows) only_b.insert(name_of(experiment, row));
  for (const auto& [experiment, rows] : rows_a)
    for (const RowRuns& row : rows) {
      const std::string name = name_of(experiment, row);
      const auto there = rows_b.find(experiment);
      const RowRuns* same = nullptr;
      if (there != rows_b.end())
        for (const RowRuns& candidate : there->second)
          if (!same && candidate.front()->label == row.front()->label &&
              candidate.front()->model_name() == row.front()->model_name())
            same = &candidate;
      if (same) {
        sides.rows.push_back({name, row, *same});
        only_b.erase(name);
      } else {
        only_a.insert(name);
      }
    }
  if (sides.rows.empty())
    throw Error(fmt::format("{} and {}", sides.a, sides.b), "no experiment and label is in both",
                "databases that hold runs of the same names",
                "compare runs by their labels: --db and --db2");
  std::vector<Table> tables = compare(sides, options);
  add_only(tables.front(), sides.a, only_a);
  add_only(tables.front(), sides.b, only_b);
  return tables;
}

std::string items_needed(double difference, double discordance, const TestPlan& plan) {
  const std::int64_t items = mcnemar_sample_size(discordance, difference, plan);
  return fmt::format(
      "{} independent items, of which two models answer {:.4g} % differently, show a difference of "
      "{:.4g} points with a probability of {:.3g} (exact McNemar, two-sided p < {:.3g})",
      items, 100 * discordance, 100 * difference,
      mcnemar_power(items, discordance, difference, plan.alpha), plan.alpha);
}

std::string seeds_needed(double difference, double standard_deviation, const TestPlan& plan) {
  return fmt::format(
      "{} training seeds, over which the difference has a standard deviation of {:.4g}, show one "
      "of "
      "{:.4g} with a probability of at least {:.3g} (paired t test, two-sided p < {:.3g})",
      t_test_sample_size(difference, standard_deviation, plan), standard_deviation, difference,
      plan.power, plan.alpha);
}

}  // namespace harness
