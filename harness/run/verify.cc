#include "harness/run/verify.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "harness/core/paths.h"
#include "harness/core/rng.h"
#include "harness/core/text.h"
#include "harness/data/json_value.h"
#include "harness/run/runner.h"

namespace harness {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kShownDifferences = 5;  // of a stage

/// A folder that is gone with the object.
class ScratchFolder {
 public:
  ScratchFolder() : path_(cache_folder() / fmt::format("verify.{}", getpid())) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

/// What canonical text writes as null was not given.
void drop_nulls(Value& value) {
  if (value.is_array())
    for (Value& element : value.as_array()) drop_nulls(element);
  if (!value.is_table()) return;
  std::erase_if(value.as_table(), [](const auto& entry) { return entry.second.is_null(); });
  for (auto& [key, element] : value.as_table()) drop_nulls(element);
}

/// The run as its experiment had it, out of what is stored of it.
RunSpec stored_spec(const ResultStore& store, const std::string& run_key,
                    const std::string& data_dir) {
  const auto found = store.query("SELECT canonical FROM runs WHERE key = :key", {{"key", run_key}});
  const std::string where = fmt::format("the stored run {}", run_key.substr(0, 12));
  if (found.rows.empty()) throw Error(store.path().string(), where + " is not there");
  const std::string canonical = found.rows[0][0].value_or("");
  Value table;
  try {
    table = parse_json_value(canonical, where);
  } catch (const Error&) {  // a training's, which names its phases
    throw Error(where, "is a training of `harness train`", "a run of an experiment");
  }
  drop_nulls(table);
  Problems problems;
  RunSpec spec;
  read_config(table, where, problems, spec);
  problems.throw_if_any();
  spec.data_dir = data_dir;
  return spec;
}

struct StoredRun {
  std::string key;
  RunSpec spec;
};

/// Draws `count` of the evals of all runs that read no others, and leaves the rest out.
void take_sample(std::vector<StoredRun>& runs, std::size_t count, std::uint64_t seed,
                 const Plugins& plugins) {
  std::vector<std::pair<std::size_t, std::size_t>> evals;  // run, place
  for (std::size_t run = 0; run < runs.size(); ++run)
    for (std::size_t place = 0; place < runs[run].spec.evals.size(); ++place)
      if (!plugins.derives(runs[run].spec.evals[place].name)) evals.emplace_back(run, place);
  count = std::min(count, evals.size());
  Philox random(seed, "verify", "sample");
  for (std::size_t i = 0; i < count; ++i)
    std::swap(evals[i], evals[i + random.below(evals.size() - i)]);
  evals.resize(count);
  std::sort(evals.begin(), evals.end());
  std::vector<StoredRun> kept;
  for (std::size_t run = 0; run < runs.size(); ++run) {
    std::vector<PluginUse> uses;
    for (const auto& [of, place] : evals)
      if (of == run) uses.push_back(runs[run].spec.evals[place]);
    if (uses.empty()) continue;
    kept.push_back(std::move(runs[run]));
    kept.back().spec.evals = std::move(uses);
  }
  runs = std::move(kept);
}

std::string text_of(const Value& value) {
  return value.is_null() ? "nothing" : canonical_text(value);
}

/// Counts how values of one stage agree.
class Comparison {
 public:
  Comparison(VerifiedStage& stage, double tolerance) : stage_(stage), tolerance_(tolerance) {}

  void number(const std::string& what, double stored, double found) {
    if (stored == found || (std::isnan(stored) && std::isnan(found))) {
      ++stage_.equal;
      return;
    }
    const double difference =
        std::abs(stored - found) / std::max({1.0, std::abs(stored), std::abs(found)});
    if (!(difference <= stage_.largest)) stage_.largest = difference;
    ++(difference <= tolerance_ ? stage_.within : stage_.different);
    tell(what, shortest(stored), shortest(found));
  }

  void text(const std::string& what, const std::string& stored, const std::string& found) {
    ++(stored == found ? stage_.equal : stage_.different);
    if (stored != found) tell(what, stored, found);
  }

  void value(const std::string& what, const Value& stored, const Value& found) {
    if (stored.is_number() && found.is_number())
      return number(what, stored.as_double(), found.as_double());
    if (stored.is_array() && found.is_array() &&
        stored.as_array().size() == found.as_array().size()) {
      for (std::size_t i = 0; i < stored.as_array().size(); ++i)
        value(fmt::format("{}[{}]", what, i), stored.as_array()[i], found.as_array()[i]);
      return;
    }
    if (stored.is_table() && found.is_table()) {
      std::set<std::string> keys;
      for (const Value* table : {&stored, &found})
        for (const auto& [key, element] : table->as_table()) keys.insert(key);
      for (const std::string& key : keys) {
        const Value *a = stored.find(key), *b = found.find(key);
        value(fmt::format("{}.{}", what, key), a ? *a : Value(), b ? *b : Value());
      }
      return;
    }
    text(what, text_of(stored), text_of(found));
  }

  /// Rows of a query on both sides, by the first `keys` columns; the others are compared.
  void rows(const std::string& what, const ResultStore::ResultSet& stored,
            const ResultStore::ResultSet& found, std::size_t keys) {
    using Key = std::vector<std::optional<std::string>>;
    std::map<Key, std::pair<std::optional<std::size_t>, std::optional<std::size_t>>> paired;
    auto key_of = [&](const Key& row) {
      return Key(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(keys));
    };
    for (std::size_t i = 0; i < stored.rows.size(); ++i) paired[key_of(stored.rows[i])].first = i;
    for (std::size_t i = 0; i < found.rows.size(); ++i) paired[key_of(found.rows[i])].second = i;
    for (const auto& [key, places] : paired) {
      std::string name = what;
      for (const auto& part : key)
        if (part && *part != "0") name += " " + *part;
      if (!places.first || !places.second) {
        text(name, places.first ? "there" : "none", places.second ? "there" : "none");
        continue;
      }
      for (std::size_t c = keys; c < stored.columns.size(); ++c)
        value(name + ": " + stored.columns[c], cell(stored, *places.first, c),
              cell(found, *places.second, c));
    }
  }

 private:
  static Value cell(const ResultStore::ResultSet& set, std::size_t row, std::size_t column) {
    const std::optional<std::string>& text = set.rows[row][column];
    if (!text) return Value();
    if (set.numeric[row][column]) return Value(std::stod(*text));
    return text->starts_with('{') ? parse_json_value(*text, set.columns[column]) : Value(*text);
  }

  void tell(const std::string& what, const std::string& stored, const std::string& found) {
    if (stage_.differences.size() < kShownDifferences)
      stage_.differences.push_back({what, stored, found});
  }

  VerifiedStage& stage_;
  double tolerance_;
};

struct ComparedTable {
  const char *what, *sql;
  std::size_t keys;
};
// Of the attempt that is shown of a stage, :stage.
constexpr ComparedTable kCompared[] = {
    {"metric",
     "SELECT m.name, m.value, m.status, m.standard_error, m.count FROM shown_attempts a "
     "JOIN metrics m ON m.attempt = a.id WHERE a.stage_key = :stage ORDER BY m.position",
     1},
    {"curve",
     "SELECT c.series, c.step, c.value, c.status FROM shown_attempts a "
     "JOIN curves c ON c.attempt = a.id WHERE a.stage_key = :stage ORDER BY c.series, c.step",
     2},
    {"item",
     "SELECT i.id, i.repeat, i.position, i.score, i.status, i.cluster, i.detail "
     "FROM shown_attempts a JOIN items i ON i.attempt = a.id WHERE a.stage_key = :stage "
     "ORDER BY i.position",
     2},
    {"answer to",
     "SELECT c.id, c.repeat, c.sample, c.answer, c.ending, c.tokens FROM shown_attempts a "
     "JOIN completions c ON c.attempt = a.id WHERE a.stage_key = :stage ORDER BY c.id",
     3},
};

std::map<std::string, std::string> conditions_of(const ResultStore& store,
                                                 const std::string& stage) {
  std::map<std::string, std::string> conditions;
  for (const auto& row : store
                             .query("SELECT p.key, p.value FROM shown_attempts a JOIN provenance p "
                                    "ON p.attempt = a.id WHERE a.stage_key = :stage",
                                    {{"stage", stage}})
                             .rows)
    conditions[*row[0]] = *row[1];
  return conditions;
}

/// In which keys a run's stored stage of that kind, name and protocol differs from the planned one;
/// a stage before it that differs is named by "parent".
std::string changed_keys(const ResultStore& store, const std::string& run_key,
                         const StageRow& planned) {
  const auto found = store.query(
      "SELECT s.canonical FROM run_stages rs JOIN stages s ON s.key = rs.stage_key "
      "WHERE rs.run_key = :run AND s.kind = :kind AND s.name = :name AND s.protocol = :protocol",
      {{"run", run_key},
       {"kind", planned.kind},
       {"name", planned.name},
       {"protocol", planned.protocol}});
  if (found.rows.empty()) return "";
  const Value before = parse_json_value(*found.rows[0][0], "");
  const Value now = parse_json_value(planned.canonical, "");
  std::vector<std::string> keys;
  for (const auto& [key, value] : now.as_table()) {
    const Value* old = before.find(key);
    if (!old || !(*old == value)) keys.push_back(key);
  }
  return fmt::format("{}", fmt::join(keys, ", "));
}

VerifiedStage verify_stage(const ResultStore& store, const ResultStore& again,
                           const PlannedRun& run, const std::string& run_key, const StageRow& stage,
                           double tolerance) {
  VerifiedStage verified{run.spec.label, stage.kind, stage.name, stage.protocol};
  if (!again.stage_done(stage.key)) {
    const auto message =
        again.query("SELECT message FROM shown_attempts WHERE stage_key = :stage AND message <> ''",
                    {{"stage", stage.key}});
    verified.problem =
        "failed" + (message.rows.empty() ? "" : ": " + message.rows[0][0].value_or(""));
  } else if (!store.stage_done(stage.key)) {
    const std::string changed = changed_keys(store, run_key, stage);
    verified.problem = changed.empty() ? "no result of it is stored"
                                       : "what determines it has changed since: " + changed;
  }
  if (!verified.problem.empty()) return verified;
  Comparison comparison(verified, tolerance);
  for (const ComparedTable& table : kCompared)
    comparison.rows(table.what, store.query(table.sql, {{"stage", stage.key}}),
                    again.query(table.sql, {{"stage", stage.key}}), table.keys);
  const auto before = conditions_of(store, stage.key);
  for (const auto& [key, now] : conditions_of(again, stage.key)) {
    const auto was = before.find(key);
    if (was == before.end() || was->second != now)
      verified.conditions.push_back(
          fmt::format("{} {}, now {}", key, was == before.end() ? "–" : was->second, now));
  }
  return verified;
}

}  // namespace

const char* agreement_name(Agreement agreement) {
  switch (agreement) {
    case Agreement::equal:
      return "equal";
    case Agreement::within_tolerance:
      return "within tolerance";
    case Agreement::different:
      return "different";
  }
  return "";
}

Agreement VerifiedStage::agreement() const {
  if (!problem.empty() || different > 0) return Agreement::different;
  return within > 0 ? Agreement::within_tolerance : Agreement::equal;
}

std::vector<VerifiedStage> verify_runs(const ResultStore& store,
                                       const std::vector<std::string>& run_keys,
                                       const VerifyOptions& options, const Plugins& plugins,
                                       Progress& progress) {
  std::vector<StoredRun> runs;
  for (const std::string& key : run_keys)
    runs.push_back({key, stored_spec(store, key, options.data_dir)});
  if (options.sample > 0) take_sample(runs, options.sample, options.seed, plugins);
  Experiment experiment;
  experiment.name = "verify";
  for (const StoredRun& run : runs) experiment.runs.push_back(run.spec);

  const ScratchFolder scratch;
  Plan plan = make_plan(experiment, plugins);
  plan.kept = scratch / "stages";
  const auto again = ResultStore::open(scratch / "results.sqlite");
  if (run_plan(plan, *again, progress).interrupted) throw Interrupted();

  std::vector<VerifiedStage> verified;
  std::set<std::string> seen;  // runs share stages
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const PlannedRun& run = plan.runs[i];
    auto verify = [&](const StageRow& stage) {
      if (seen.insert(stage.key).second)
        verified.push_back(verify_stage(store, *again, run, runs[i].key, stage, options.tolerance));
    };
    for (const StageRow& stage : run.method_stages) verify(stage);
    for (const StageRow& stage : run.eval_stages) verify(stage);
    for (const DerivedStage& derived : run.derived_stages) verify(derived.stage);
  }
  return verified;
}

}  // namespace harness
