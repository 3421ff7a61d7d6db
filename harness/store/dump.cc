#include "harness/store/dump.h"

#include <fmt/format.h>

#include "harness/store/lookup.h"
#include "harness/store/schema.h"
#include "harness/store/sqlite.h"

namespace harness {
namespace {

/// What belongs to the experiment :key. A stage brings the stages before it and those that it reads
/// (the table `reads` of a derived eval's canonical text); an attempt that another experiment made
/// at a shared stage brings the run it was made for.
constexpr const char* kBelonging = R"(
WITH RECURSIVE own_runs AS (
  SELECT run_key AS key FROM experiment_runs WHERE experiment_key = :key),
own_stages(key) AS (
  SELECT stage_key FROM run_stages WHERE run_key IN own_runs
  UNION SELECT s.parent_key FROM own_stages o JOIN stages s ON s.key = o.key
  WHERE s.parent_key IS NOT NULL
  UNION SELECT r.value FROM own_stages o JOIN stages s ON s.key = o.key
  JOIN json_each(CASE WHEN json_valid(s.canonical) THEN s.canonical ELSE '{}' END, '$.reads') r),
own_attempts AS (SELECT id FROM attempts WHERE stage_key IN own_stages),
first_runs AS (
  SELECT run_key, label, MIN(position) FROM experiment_runs WHERE experiment_key = :key
  GROUP BY label),
item_attempts AS (
  SELECT id FROM own_attempts WHERE :all
  UNION SELECT id FROM attempts WHERE stage_key IN (
    SELECT stage_key FROM run_stages WHERE run_key IN (SELECT run_key FROM first_runs))),
all_runs AS (
  SELECT key FROM own_runs UNION SELECT run_key FROM attempts WHERE stage_key IN own_stages)
)";

/// Tables in the order in which they can be filled: parents before children.
struct DumpedTable {
  const char* name;
  const char* select;  // after kBelonging
  bool of_items = false;
};
constexpr DumpedTable kTables[] = {
    {"experiments", "SELECT * FROM experiments WHERE key = :key"},
    {"runs", "SELECT * FROM runs WHERE key IN all_runs ORDER BY key"},
    {"experiment_runs",
     "SELECT * FROM experiment_runs WHERE experiment_key = :key ORDER BY position, run_key"},
    // A stage has as many stages before it as its depth; loads come first.
    {"stages",
     "SELECT s.* FROM stages s JOIN ("
     "  WITH RECURSIVE line(key, depth) AS ("
     "    SELECT key, 0 FROM stages WHERE parent_key IS NULL"
     "    UNION ALL SELECT s.key, depth + 1 FROM line JOIN stages s ON s.parent_key = line.key)"
     "  SELECT key, depth FROM line) d ON d.key = s.key "
     "WHERE s.key IN own_stages ORDER BY d.depth, s.key"},
    {"run_stages",
     "SELECT * FROM run_stages WHERE run_key IN own_runs ORDER BY run_key, position, stage_key"},
    {"attempts",
     "SELECT id, stage_key, run_key, status, message, started_at, ended_at, wall_seconds, "
     "cpu_seconds, peak_memory_bytes, NULL, NULL, NULL FROM attempts WHERE id IN own_attempts "
     "ORDER BY stage_key, started_at, id"},
    {"provenance", "SELECT * FROM provenance WHERE attempt IN own_attempts ORDER BY attempt, key"},
    {"metrics", "SELECT * FROM metrics WHERE attempt IN own_attempts ORDER BY attempt, position"},
    {"items",
     "SELECT * FROM items WHERE attempt IN item_attempts ORDER BY attempt, position, id, repeat",
     true},
    {"curves", "SELECT * FROM curves WHERE attempt IN own_attempts ORDER BY attempt, series, step"},
    // Not answers, what models wrote: dumps are published, and have its digests and verdicts only.
    {"completions",
     "SELECT * FROM completions WHERE attempt IN item_attempts "
     "ORDER BY attempt, id, repeat, sample",
     true},
    {"verdicts",
     "SELECT * FROM verdicts WHERE answer IN ("
     "SELECT answer FROM completions WHERE attempt IN item_attempts) ORDER BY answer, scorer",
     true},
};

void append_row(std::string& text, const char* table, const ResultStore::ResultSet& rows,
                std::size_t index) {
  text += fmt::format("INSERT INTO {} VALUES (", table);
  for (std::size_t c = 0; c < rows.columns.size(); ++c) {
    const std::optional<std::string>& cell = rows.rows[index][c];
    if (c > 0) text += ", ";
    text += !cell ? "NULL" : rows.numeric[index][c] ? *cell : sqlite::quoted_text(*cell);
  }
  text += ");\n";
}

}  // namespace

std::string dump(const ResultStore& store, const std::string& experiment, DumpedItems items) {
  const ExperimentName found = find_experiment(store, experiment);
  std::string text = fmt::format(
      "-- Results of the experiment {} ({}){}.\n"
      "-- A database again: sqlite3 new.sqlite < this file\nBEGIN;\n{}{}",
      found.name, found.key,
      items == DumpedItems::all     ? ""
      : items == DumpedItems::first ? ", with the items of the first run of each label"
                                    : ", without its items",
      kSchemaSql, kViewsSql);
  for (const DumpedTable& table : kTables) {
    if (table.of_items && items == DumpedItems::none) continue;
    const auto rows =
        store.query(std::string(kBelonging) + table.select,
                    {{"key", found.key}, {"all", items == DumpedItems::all ? "1" : "0"}});
    for (std::size_t i = 0; i < rows.rows.size(); ++i) append_row(text, table.name, rows, i);
  }
  const auto application = store.query("PRAGMA application_id");
  text += fmt::format("PRAGMA application_id = {};\nPRAGMA user_version = {};\n",
                      *application.rows.at(0).at(0), kSchemaVersion);
  return text + "COMMIT;\n";
}

}  // namespace harness
