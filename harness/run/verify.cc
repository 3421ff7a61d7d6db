#include "harness/run/verify.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "harness/core/hash.h"
#include "harness/core/paths.h"
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

/// Draws items of a stored stage: those whose ids have the least digests with the seed, so that
/// stages with the same items draw the same.
ItemIds draw_items(const ResultStore& store, const std::string& stage, std::size_t count,
                   std::uint64_t seed) {
  std::vector<std::pair<std::string, std::string>> ranked;  // digest, id
  store.for_each(
      "SELECT DISTINCT i.id FROM shown_attempts a JOIN items i ON i.attempt = a.id "
      "WHERE a.stage_key = :stage",
      {{"stage", stage}}, [&](const ResultStore::Row& row) {
        const std::string id(row.text(0));
        ranked.emplace_back(sha256(fmt::format("{}\n{}", seed, id)), id);
      });
  std::sort(ranked.begin(), ranked.end());
  ranked.resize(std::min(count, ranked.size()));
  ItemIds drawn;
  for (auto& [digest, id] : ranked) drawn.insert(std::move(id));
  return drawn;
}

/// What is measured of each stage, as Plan::samples: nothing where no result is stored to compare
/// with, and a sample of what goes item by item where one is wanted.
std::map<std::string, ItemIds> samples_of(const ResultStore& store, const Plan& plan,
                                          const VerifyOptions& options) {
  std::map<std::string, ItemIds> samples;
  for (const PlannedRun& run : plan.runs) {
    for (std::size_t i = 0; i < run.evals.size(); ++i) {
      const std::string& key = run.eval_stages[i].key;
      if (!store.stage_done(key))
        samples[key] = {};
      else if (options.sample > 0 && run.evals[i]->traits().by_item)
        samples[key] = draw_items(store, key, options.sample, options.seed);
    }
    for (const DerivedStage& derived : run.derived_stages)
      if (!store.stage_done(derived.stage.key)) samples[derived.stage.key] = {};
  }
  for (const PlannedRun& run : plan.runs)
    for (const ReferenceStage& reference : run.reference_stages)
      if (const auto own = samples.find(run.eval_stages[reference.eval].key); own != samples.end())
        samples.emplace(reference.stage.key, own->second);
  return samples;
}

/// Leaves the rows of a sample, without their place among all.
void keep_sample(ResultStore::ResultSet& set, const ItemIds& sample) {
  const auto place = std::find(set.columns.begin(), set.columns.end(), "position");
  ResultStore::ResultSet kept;
  for (std::size_t r = 0; r < set.rows.size(); ++r) {
    if (!sample.contains(set.rows[r][0].value_or(""))) continue;
    kept.rows.push_back(std::move(set.rows[r]));
    kept.numeric.push_back(std::move(set.numeric[r]));
    if (place == set.columns.end()) continue;
    kept.rows.back().erase(kept.rows.back().begin() + (place - set.columns.begin()));
    kept.numeric.back().erase(kept.numeric.back().begin() + (place - set.columns.begin()));
  }
  if (place != set.columns.end()) set.columns.erase(place);
  kept.columns = std::move(set.columns);
  set = std::move(kept);
}

std::string text_of(const Value& value) {
  return value.is_null() ? "nothing" : canonical_text(value);
}

/// Counts how values of one stage agree.
class Comparison {
 public:
  Comparison(VerifiedStage& stage, double tolerance) : stage_(stage), tolerance_(tolerance) {}

  void number(const std::string& what, double stored, double found) {
    if (stored == found || (std::isnan(stored) && std::isnan(found)))
      return count(Agreement::equal);
    const double difference =
        std::abs(stored - found) / std::max({1.0, std::abs(stored), std::abs(found)});
    if (!(difference <= stage_.largest)) stage_.largest = difference;
    count(difference <= tolerance_ ? Agreement::within_tolerance : Agreement::different);
    tell(what, shortest(stored), shortest(found));
  }

  void text(const std::string& what, const std::string& stored, const std::string& found) {
    count(stored == found ? Agreement::equal : Agreement::different);
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
  /// @return how the rows agree
  Agreements rows(const std::string& what, const ResultStore::ResultSet& stored,
                  const ResultStore::ResultSet& found, std::size_t keys) {
    using Key = std::vector<std::optional<std::string>>;
    std::map<Key, std::pair<std::optional<std::size_t>, std::optional<std::size_t>>> paired;
    auto key_of = [&](const Key& row) {
      return Key(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(keys));
    };
    for (std::size_t i = 0; i < stored.rows.size(); ++i) paired[key_of(stored.rows[i])].first = i;
    for (std::size_t i = 0; i < found.rows.size(); ++i) paired[key_of(found.rows[i])].second = i;
    Agreements agreements;
    for (const auto& [key, places] : paired) {
      std::string name = what;
      for (const auto& part : key)
        if (part && *part != "0") name += " " + *part;
      worst_ = Agreement::equal;
      if (!places.first || !places.second)
        text(name, places.first ? "there" : "none", places.second ? "there" : "none");
      else
        for (std::size_t c = keys; c < stored.columns.size(); ++c)
          value(name + ": " + stored.columns[c], cell(stored, *places.first, c),
                cell(found, *places.second, c));
      agreements.add(worst_);
    }
    return agreements;
  }

 private:
  void count(Agreement agreement) {
    stage_.values.add(agreement);
    worst_ = std::max(worst_, agreement);
  }

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
  Agreement worst_ = Agreement::equal;  // of the row's values so far
};

struct ComparedTable {
  const char *what, *sql;
  std::size_t keys;
  bool of_items = false;  // whose ids come first
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
     2, true},
    {"answer to",
     "SELECT c.id, c.repeat, c.sample, c.answer, c.ending, c.tokens FROM shown_attempts a "
     "JOIN completions c ON c.attempt = a.id WHERE a.stage_key = :stage ORDER BY c.id",
     3, true},
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

/// Why a stage cannot be compared; empty: it can.
std::string problem_of(const ResultStore& store, const ResultStore& again,
                       const std::string& run_key, const StageRow& stage) {
  if (!store.stage_done(stage.key)) {
    const std::string changed = changed_keys(store, run_key, stage);
    return changed.empty() ? "no result of it is stored"
                           : "what determines it has changed since: " + changed;
  }
  if (again.stage_done(stage.key)) return "";
  const auto message =
      again.query("SELECT message FROM shown_attempts WHERE stage_key = :stage AND message <> ''",
                  {{"stage", stage.key}});
  if (!message.rows.empty()) return "failed: " + message.rows[0][0].value_or("");
  return "not computed again: nothing that is stored follows from it, or what comes before failed";
}

/// @param sample the items that were measured again; null: all
VerifiedStage verify_stage(const ResultStore& store, const ResultStore& again,
                           const PlannedRun& run, const std::string& run_key, const StageRow& stage,
                           const ItemIds* sample, double tolerance) {
  VerifiedStage verified{run.spec.label, stage.kind, stage.name, stage.protocol};
  verified.problem = problem_of(store, again, run_key, stage);
  if (!verified.problem.empty()) return verified;
  Comparison comparison(verified, tolerance);
  for (const ComparedTable& table : kCompared) {
    if (sample && !table.of_items) continue;
    auto stored = store.query(table.sql, {{"stage", stage.key}});
    auto found = again.query(table.sql, {{"stage", stage.key}});
    const bool items = std::string_view(table.what) == "item";
    if (items) verified.stored_items = static_cast<std::int64_t>(stored.rows.size());
    if (sample) {
      keep_sample(stored, *sample);
      keep_sample(found, *sample);
    }
    const Agreements rows = comparison.rows(table.what, stored, found, table.keys);
    if (items) verified.items = rows;
  }
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

void Agreements::add(Agreement agreement) {
  ++(agreement == Agreement::equal              ? equal
     : agreement == Agreement::within_tolerance ? within
                                                : different);
}

Agreement Agreements::worst() const {
  if (different > 0) return Agreement::different;
  return within > 0 ? Agreement::within_tolerance : Agreement::equal;
}

Agreement VerifiedStage::agreement() const {
  return problem.empty() ? values.worst() : Agreement::different;
}

std::vector<VerifiedStage> verify_runs(const ResultStore& store,
                                       const std::vector<std::string>& run_keys,
                                       const VerifyOptions& options, const Plugins& plugins,
                                       Progress& progress) {
  std::vector<StoredRun> runs;
  for (const std::string& key : run_keys)
    runs.push_back({key, stored_spec(store, key, options.data_dir)});
  Experiment experiment;
  experiment.name = "verify";
  for (const StoredRun& run : runs) experiment.runs.push_back(run.spec);

  const ScratchFolder scratch;
  Plan plan = make_plan(experiment, plugins);
  plan.kept = scratch / "stages";
  plan.samples = samples_of(store, plan, options);
  const auto again = ResultStore::open(scratch / "results.sqlite");
  if (run_plan(plan, *again, progress).interrupted) throw Interrupted();

  const double tolerance =
      options.tolerance.value_or(options.sample > 0 ? kSampleTolerance : kTolerance);
  std::vector<VerifiedStage> verified;
  std::set<std::string> seen;  // runs share stages
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const PlannedRun& run = plan.runs[i];
    // A derived eval has the items of what it reads.
    auto verify = [&](const StageRow& stage, const StageRow& measured) {
      const auto sample = plan.samples.find(measured.key);
      if (seen.insert(stage.key).second)
        verified.push_back(verify_stage(store, *again, run, runs[i].key, stage,
                                        sample == plan.samples.end() ? nullptr : &sample->second,
                                        tolerance));
    };
    for (const StageRow& stage : run.method_stages) verify(stage, stage);
    for (const StageRow& stage : run.eval_stages) verify(stage, stage);
    for (const DerivedStage& derived : run.derived_stages)
      verify(derived.stage, run.eval_stages[derived.eval]);
  }
  return verified;
}

}  // namespace harness
