#include "harness/store/result_store.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <chrono>
#include <cmath>
#include <ctime>
#include <iomanip>
#include <limits>
#include <sstream>
#include <thread>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/store/process.h"
#include "harness/store/schema.h"
#include "harness/store/state.h"

namespace harness {
namespace fs = std::filesystem;
using sqlite::Connection;
using sqlite::Statement;
using sqlite::Transaction;

namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
constexpr double kUnsyncedSeconds = 1;               // of work that a power cut may cost
constexpr std::int64_t kApplicationId = 0x41415148;  // "AAQH"

using Moment = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

Moment now() {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

std::string moment_text(Moment moment) {
  using namespace std::chrono;
  const auto seconds = floor<std::chrono::seconds>(moment);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06d}Z", fmt::gmtime(system_clock::to_time_t(seconds)),
                     (moment - seconds).count());
}

/// What moment_text() wrote; nothing for another text.
std::optional<Moment> read_moment(const std::string& text) {
  std::tm parts{};
  std::istringstream in(text);
  char point = 0;
  std::int64_t microseconds = 0;
  in >> std::get_time(&parts, "%Y-%m-%dT%H:%M:%S") >> point >> microseconds;
  if (!in || point != '.') return std::nullopt;
  return Moment(std::chrono::seconds(timegm(&parts)) + std::chrono::microseconds(microseconds));
}

/// The latest time that stands in a column by which rows are ordered.
std::string latest_moment(const Connection& connection) {
  return connection.text(
      "SELECT coalesce(max(t), '') FROM (SELECT max(used_at) AS t FROM experiments "
      "UNION ALL SELECT max(used_at) FROM experiment_runs "
      "UNION ALL SELECT max(started_at) FROM attempts "
      "UNION ALL SELECT max(ended_at) FROM attempts)");
}

/// A number as the columns value and status have it.
struct StoredNumber {
  explicit StoredNumber(double number) {
    if (std::isfinite(number))
      value = number;
    else
      status = std::isnan(number) ? "nan" : number > 0 ? "inf" : "-inf";
  }
  std::optional<double> value;
  const char* status = "finite";
};

double read_number(const Statement& statement, int value_column, int status_column) {
  if (!statement.is_null(value_column)) return statement.real(value_column);
  const double infinity = std::numeric_limits<double>::infinity();
  const std::string status = statement.text(status_column);
  return status == "inf" ? infinity : status == "-inf" ? -infinity : kUnknown;
}

/// First 63 bits of a digest of everything that tells this attempt from any other, on any machine.
std::int64_t new_attempt_id(const std::string& run, const std::string& stage,
                            const ProcessId& process) {
  static std::atomic<int> counter = 0;
  const std::string digest =
      sha256(fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}", run, stage, process.host, process.pid,
                         process.process, moment_text(now()), counter++));
  return static_cast<std::int64_t>(std::stoull(digest.substr(0, 16), nullptr, 16) >> 1);
}

void refuse_folder(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored))
    throw Error(path.string(), "is a folder", "the file of a database of results",
                fmt::format("say --db {}", (path / "results.sqlite").string()));
}

/// Throws unless the database is empty or one of ours, of a schema that this program knows.
/// @return whether it is empty
bool check_schema(const Connection& connection) {
  const std::string where = connection.path().string();
  const std::int64_t application = connection.integer("PRAGMA application_id");
  const std::int64_t version = connection.integer("PRAGMA user_version");
  if (application != kApplicationId) {
    if (application == 0 && connection.integer("SELECT count(*) FROM sqlite_schema") == 0)
      return true;
    throw Error(where, "is an SQLite database of another program", "a database of results",
                "name another file with --db");
  }
  if (version > kSchemaVersion)
    throw Error(where, fmt::format("has schema {}, of a newer harness", version),
                fmt::format("schema {} or older, which this harness ({}) reads", kSchemaVersion,
                            "schema " + std::to_string(kSchemaVersion)),
                "update the harness, or name another file with --db");
  return false;
}

/// Whether the database has no write-ahead log that holds anything: nobody has it open, or nobody
/// has written.
bool is_closed(const fs::path& path) {
  std::error_code none;
  const std::uintmax_t pending = fs::file_size(path.string() + "-wal", none);
  return none || pending == 0;
}

/// Looks at an existing file before anything could change it, or make files beside it.
void check_file(const fs::path& path) {
  std::error_code none;
  const std::uintmax_t size = fs::file_size(path, none);
  if (none || size == 0) return;
  check_schema(Connection(
      path, is_closed(path) ? Connection::Mode::read_immutable : Connection::Mode::read_only));
}

void create_schema(const Connection& connection) {
  Transaction transaction(connection);
  // Another process may have been first.
  if (!check_schema(connection)) return;
  connection.execute(kSchemaSql);
  connection.execute(kViewsSql);
  connection.execute(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}",
                                 kApplicationId, kSchemaVersion));
  transaction.commit();
}

/// What schema 3 added, out of schema.sql.
std::string since_schema_3() {
  const std::string all = kSchemaSql;
  const std::size_t at = all.find("-- Since schema 3");
  assert(at != std::string::npos);
  return all.substr(at);
}

/// The views of this schema in place of older ones.
void make_views(const Connection& connection) {
  std::vector<std::string> names;
  {
    Statement views(connection, "SELECT name FROM sqlite_schema WHERE type = 'view'");
    while (views.step()) names.push_back(views.text(0));
  }
  for (const std::string& name : names) connection.execute("DROP VIEW " + name);
  connection.execute(kViewsSql);
}

/// Brings an older database to this schema. Version 2 lets a stage be of the kind "train". SQLite
/// changes a CHECK by changing the table's text: what passed the narrower one passes the wider
/// (sqlite.org/lang_altertable.html, section 7). Version 3 has completions, version 4 faster views.
void update_schema(const Connection& connection) {
  if (connection.integer("PRAGMA user_version") == kSchemaVersion) return;
  connection.execute("PRAGMA writable_schema = ON");
  Transaction transaction(connection);
  // Another process may have been first.
  if (connection.integer("SELECT count(*) FROM sqlite_schema WHERE name = 'completions'") == 0)
    connection.execute(since_schema_3());
  connection.execute(
      R"(UPDATE sqlite_schema SET sql = replace(sql, '(''load''', '(''train'', ''load''')
         WHERE type = 'table' AND name = 'stages' AND sql NOT LIKE '%''train''%')");
  make_views(connection);
  connection.execute(fmt::format("PRAGMA user_version = {}", kSchemaVersion));
  transaction.commit();
  connection.execute("PRAGMA writable_schema = RESET");
}

/// Write-ahead logging: readers and a writer do not wait for each other. A file system that cannot
/// do it (some network ones) leaves the rollback journal, which is as safe.
void use_write_ahead_log(const Connection& connection) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(sqlite::kBusyMilliseconds);
  // SQLite does not wait here by itself while another process opens the file.
  while (sqlite3_exec(connection.get(), "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr) ==
         SQLITE_BUSY) {
    if (std::chrono::steady_clock::now() > deadline) connection.fail();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void insert_provenance(const Connection& connection, std::int64_t attempt,
                       const ProvenanceRow& provenance) {
  Statement insert(connection, "INSERT OR REPLACE INTO provenance VALUES (?, ?, ?)");
  for (const auto& [key, value] : provenance) insert.run(attempt, key, value);
}

std::string answer_digest(const CompletionRow& completion) {
  return sha256(completion.prompt + std::string(1, '\0') + completion.text);
}

/// The completions of one item, their texts and verdicts.
class CompletionWriter {
 public:
  explicit CompletionWriter(const Connection& connection)
      : completion_(connection, "INSERT INTO completions VALUES (?, ?, ?, ?, ?, ?, ?)"),
        answer_(connection, "INSERT OR IGNORE INTO answers VALUES (?, ?, ?)"),
        verdict_(connection, "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)") {}

  void write(std::int64_t attempt, const ItemRow& item, int repeat) {
    int sample = 0;
    for (const CompletionRow& completion : item.completions) {
      const std::string digest = answer_digest(completion);
      completion_.run(attempt, item.id, repeat, sample++, digest, completion.ending,
                      completion.tokens);
      answer_.run(digest, completion.prompt, completion.text);
      for (const VerdictRow& verdict : completion.verdicts)
        verdict_.run(digest, verdict.scorer, as_integer(verdict.complied));
    }
  }

  static std::optional<std::int64_t> as_integer(std::optional<bool> complied) {
    if (!complied) return std::nullopt;
    return *complied ? 1 : 0;
  }

 private:
  Statement completion_, answer_, verdict_;
};

std::vector<StoredAnswer> read_answers(Statement& select) {
  std::vector<StoredAnswer> answers;
  while (select.step()) answers.push_back({select.text(0), select.text(1), select.text(2)});
  return answers;
}

constexpr const char* kAnswersOf = R"(
  SELECT digest, prompt, text FROM answers WHERE digest IN (
    SELECT c.answer FROM experiment_runs e
    JOIN run_stages rs ON rs.run_key = e.run_key
    JOIN attempts a ON a.stage_key = rs.stage_key
    JOIN completions c ON c.attempt = a.id
    WHERE e.experiment_key = ?))";

}  // namespace

std::string sqlite_version() { return sqlite3_libversion(); }

const char* status_name(AttemptStatus status) {
  switch (status) {
    case AttemptStatus::running:
      return "running";
    case AttemptStatus::succeeded:
      return "succeeded";
    case AttemptStatus::failed:
      return "failed";
    case AttemptStatus::interrupted:
      return "interrupted";
  }
  return "";
}

std::string ResultStore::State::next_moment() {
  std::string moment = moment_text(now());
  if (moment <= latest)
    if (const auto before = read_moment(latest))
      moment = moment_text(*before + std::chrono::microseconds(1));
  return latest = moment;
}

ResultStore::ResultStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
ResultStore::~ResultStore() = default;

std::unique_ptr<ResultStore> ResultStore::open(const fs::path& path) {
  refuse_folder(path);
  check_file(path);
  std::error_code failed;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), failed);
  if (failed)
    throw Error(path.parent_path().string(), "the folder cannot be made: " + failed.message(),
                "a place that can be written", "name another file with --db");
  auto state = std::unique_ptr<State>(new State{Connection(path, Connection::Mode::read_write)});
  const Connection& connection = state->connection;
  if (sqlite3_db_readonly(connection.get(), "main") == 1)
    throw Error(path.string(), "cannot be written", "a file that can be written",
                "change its permissions, or name another file with --db");
  connection.execute("PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL");
  const bool empty = check_schema(connection);
  use_write_ahead_log(connection);
  if (empty) create_schema(connection);
  update_schema(connection);
  state->latest = latest_moment(connection);
  return std::unique_ptr<ResultStore>(new ResultStore(std::move(state)));
}

std::unique_ptr<ResultStore> ResultStore::open_read_only(const fs::path& path) {
  refuse_folder(path);
  if (!fs::exists(path))
    throw Error(path.string(), "there is no such file", "a database of results",
                "make one with harness run, or name another with --db");
  check_file(path);
  // Reading in WAL mode makes files beside the database; where that cannot be, nobody can write
  // either.
  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const bool frozen = is_closed(path) && access(folder.c_str(), W_OK) != 0;
  auto state = std::unique_ptr<State>(new State{
      Connection(path, frozen ? Connection::Mode::read_immutable : Connection::Mode::read_only)});
  if (check_schema(state->connection))
    throw Error(path.string(), "is empty", "a database of results",
                "make one with harness run, or name another with --db");
  return std::unique_ptr<ResultStore>(new ResultStore(std::move(state)));
}

const fs::path& ResultStore::path() const { return state_->connection.path(); }

void ResultStore::put_experiment(const ExperimentRow& row) {
  Statement(state_->connection,
            "INSERT INTO experiments VALUES (?1, ?2, ?3, ?4, ?5, ?5) "
            "ON CONFLICT DO UPDATE SET used_at = excluded.used_at")
      .run(row.key, row.name, row.toml, row.canonical, state_->next_moment());
}

void ResultStore::put_run(const RunRow& row) {
  const Connection& connection = state_->connection;
  Transaction transaction(connection);
  Statement(connection, "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")
      .run(row.key, row.canonical, row.scheme, row.format, row.methods, row.seed);
  Statement(connection,
            "INSERT INTO experiment_runs VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "label = excluded.label, model = excluded.model, used_at = excluded.used_at")
      .run(row.experiment_key, row.position, row.key, row.label, row.model, state_->next_moment());
  transaction.commit();
}

void ResultStore::put_stage(const StageRow& row) {
  std::optional<std::string> parent;
  if (!row.parent_key.empty()) parent = row.parent_key;
  Statement(state_->connection,
            "INSERT INTO stages VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")
      .run(row.key, row.kind, row.name, row.protocol, row.canonical, parent);
}

void ResultStore::link(const std::string& run_key, const std::string& stage_key, int position) {
  Statement(state_->connection, "INSERT INTO run_stages VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
      .run(run_key, position, stage_key);
}

void ResultStore::at_once(const std::function<void()>& puts) {
  Transaction transaction(state_->connection);
  puts();
  transaction.commit();
}

std::int64_t ResultStore::begin_attempt(const std::string& run_key, const std::string& stage_key,
                                        const ProvenanceRow& provenance) {
  const Connection& connection = state_->connection;
  const ProcessId process = this_process();
  const std::int64_t id = new_attempt_id(run_key, stage_key, process);
  Transaction transaction(connection);
  Statement(connection,
            "INSERT INTO attempts (id, stage_key, run_key, status, message, started_at, host, pid, "
            "process) VALUES (?, ?, ?, 'running', '', ?, ?, ?, ?)")
      .run(id, stage_key, run_key, state_->next_moment(), process.host, process.pid,
           process.process);
  insert_provenance(connection, id, provenance);
  transaction.commit();
  return id;
}

void ResultStore::add_curve_points(std::int64_t attempt, const std::vector<CurvePoint>& points) {
  const Connection& connection = state_->connection;
  Transaction transaction(connection);
  Statement insert(connection, "INSERT OR REPLACE INTO curves VALUES (?, ?, ?, ?, ?)");
  for (const CurvePoint& point : points) {
    const StoredNumber number(point.value);
    insert.run(attempt, point.series, point.step, number.value, number.status);
  }
  transaction.commit();
}

void ResultStore::finish_attempt(std::int64_t attempt, const AttemptOutcome& outcome,
                                 const std::vector<MetricRow>& metrics,
                                 const std::vector<ItemRow>& items) {
  assert(outcome.status != AttemptStatus::running);
  const Connection& connection = state_->connection;
  // The disk is waited for, with all that was written before, once work that is worth it has come
  // together: a wait costs as much as the storing of hundreds of items.
  state_->unsynced_seconds += outcome.wall_seconds;
  const bool sync = state_->unsynced_seconds >= kUnsyncedSeconds;
  if (sync) connection.execute("PRAGMA synchronous = FULL");
  Transaction transaction(connection);
  // An attempt that another process took for abandoned may still end by itself.
  Statement(connection,
            "UPDATE attempts SET status = ?, message = ?, ended_at = ?, wall_seconds = ?, "
            "cpu_seconds = ?, peak_memory_bytes = ? "
            "WHERE id = ? AND status IN ('running', 'interrupted')")
      .run(status_name(outcome.status), outcome.message, state_->next_moment(),
           outcome.wall_seconds, outcome.cpu_seconds, outcome.peak_memory_bytes, attempt);
  if (sqlite3_changes(connection.get()) != 1)
    throw Error(path().string(), fmt::format("attempt {} is not running", attempt),
                "one that begin_attempt started");
  insert_provenance(connection, attempt, outcome.provenance);

  Statement insert_metric(connection, "INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?, ?)");
  int position = 0;
  for (const MetricRow& metric : metrics) {
    const StoredNumber number(metric.value);
    const StoredNumber error(metric.standard_error.value_or(kUnknown));
    insert_metric.run(attempt, metric.name, position++, number.value, number.status, error.value,
                      metric.count);
  }

  Statement insert_item(connection, "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  CompletionWriter completions(connection);
  // In the order of the table's key: each row then goes to the end of the attempt's, and no page is
  // split.
  std::vector<const ItemRow*> by_id;
  for (const ItemRow& item : items) by_id.push_back(&item);
  std::stable_sort(by_id.begin(), by_id.end(),
                   [](const ItemRow* a, const ItemRow* b) { return a->id < b->id; });
  int repeat = 0;
  for (std::size_t i = 0; i < by_id.size(); ++i) {
    const ItemRow& item = *by_id[i];
    repeat = i > 0 && by_id[i - 1]->id == item.id ? repeat + 1 : 0;
    const StoredNumber score(item.score);
    insert_item.run(attempt, item.id, repeat, item.position, score.value, score.status,
                    item.cluster, item.detail_json.empty() ? "{}" : item.detail_json);
    completions.write(attempt, item, repeat);
  }
  transaction.commit();
  if (!sync) return;
  state_->unsynced_seconds = 0;
  connection.execute("PRAGMA synchronous = NORMAL");
}

int ResultStore::retire_abandoned() {
  const Connection& connection = state_->connection;
  std::vector<std::pair<std::int64_t, std::int64_t>> abandoned;  // id, pid
  Statement running(connection,
                    "SELECT id, host, pid, process FROM attempts WHERE status = 'running'");
  while (running.step())
    if (liveness({running.text(1), running.integer(2), running.text(3)}) == Liveness::gone)
      abandoned.emplace_back(running.integer(0), running.integer(2));
  running.reset();
  if (abandoned.empty()) return 0;
  Transaction transaction(connection);
  Statement retire(connection,
                   "UPDATE attempts SET status = 'interrupted', message = ?, ended_at = ? "
                   "WHERE id = ? AND status = 'running'");
  for (const auto& [id, pid] : abandoned)
    retire.run(fmt::format("process {} ended without finishing it", pid), state_->next_moment(),
               id);
  transaction.commit();
  return static_cast<int>(abandoned.size());
}

bool ResultStore::stage_done(const std::string& stage_key) const {
  Statement find(state_->connection,
                 "SELECT 1 FROM attempts WHERE stage_key = ? AND status = 'succeeded'");
  return find.with(stage_key).step();
}

std::vector<MetricRow> ResultStore::metrics(const std::string& stage_key) const {
  Statement select(state_->connection,
                   "SELECT m.name, m.value, m.status, m.standard_error, m.count "
                   "FROM shown_attempts a JOIN metrics m ON m.attempt = a.id "
                   "WHERE a.stage_key = ? AND a.status = 'succeeded' ORDER BY m.position");
  select.with(stage_key);
  std::vector<MetricRow> rows;
  while (select.step()) {
    MetricRow row{select.text(0), read_number(select, 1, 2), std::nullopt, select.integer(4)};
    if (!select.is_null(3)) row.standard_error = select.real(3);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<ItemRow> ResultStore::items(const std::string& stage_key) const {
  Statement select(state_->connection,
                   "SELECT i.id, i.position, i.score, i.status, i.cluster, i.detail "
                   "FROM shown_attempts a JOIN items i ON i.attempt = a.id "
                   "WHERE a.stage_key = ? AND a.status = 'succeeded' "
                   "ORDER BY i.position, i.id, i.repeat");
  select.with(stage_key);
  std::vector<ItemRow> rows;
  while (select.step())
    rows.push_back({select.text(0), select.integer(1), read_number(select, 2, 3), select.text(4),
                    select.text(5)});
  return rows;
}

std::vector<StoredAnswer> ResultStore::answers(const std::string& experiment_key) const {
  Statement select(state_->connection, std::string(kAnswersOf) + " ORDER BY digest");
  select.with(experiment_key);
  return read_answers(select);
}

std::vector<StoredAnswer> ResultStore::answers_without(const std::string& scorer,
                                                       const std::string& experiment_key) const {
  Statement select(state_->connection,
                   std::string(kAnswersOf) +
                       " AND digest NOT IN (SELECT answer FROM verdicts WHERE scorer = ?) "
                       "ORDER BY digest");
  select.with(experiment_key, scorer);
  return read_answers(select);
}

void ResultStore::put_verdicts(
    const std::string& scorer,
    const std::vector<std::pair<std::string, std::optional<bool>>>& verdicts) {
  const Connection& connection = state_->connection;
  Transaction transaction(connection);
  Statement insert(connection, "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)");
  for (const auto& [answer, complied] : verdicts)
    insert.run(answer, scorer, CompletionWriter::as_integer(complied));
  transaction.commit();
}

MergeOutcome ResultStore::merge(const fs::path& other) {
  refuse_folder(other);
  std::error_code none;
  if (!fs::exists(other))
    throw Error(other.string(), "there is no such file", "a database of results");
  if (fs::equivalent(other, path(), none))
    throw Error(other.string(), "is the database itself", "another database of results");
  if (check_schema(Connection(other, Connection::Mode::read_only))) return {};
  const Connection& connection = state_->connection;
  Statement(connection, "ATTACH ? AS other").run(other.string());
  struct Detach {
    const Connection& connection;
    ~Detach() { sqlite3_exec(connection.get(), "DETACH other", nullptr, nullptr, nullptr); }
  } detach{connection};
  // "WHERE true" keeps SQLite from reading ON CONFLICT as part of a join.
  struct MergedTable {
    const char* name;
    const char* conflict;  // null: what is here stays
  };
  constexpr const char* kLaterUse =
      "ON CONFLICT DO UPDATE SET used_at = max(used_at, excluded.used_at)";
  constexpr MergedTable kTables[] = {
      // Parents before children.
      {"experiments", kLaterUse},
      {"runs", nullptr},
      {"experiment_runs", kLaterUse},
      {"stages", nullptr},
      {"run_stages", nullptr},
      {"attempts",
       "ON CONFLICT DO UPDATE SET status = excluded.status, message = excluded.message, "
       "ended_at = excluded.ended_at, wall_seconds = excluded.wall_seconds, "
       "cpu_seconds = excluded.cpu_seconds, peak_memory_bytes = excluded.peak_memory_bytes "
       "WHERE attempts.status IN ('running', 'interrupted') AND excluded.status <> 'running'"},
      {"provenance", nullptr},
      {"metrics", nullptr},
      {"items", nullptr},
      {"curves", nullptr},
      {"completions", nullptr},  // since schema 3, as are the two below
      {"answers", nullptr},
      {"verdicts", nullptr},
  };
  MergeOutcome outcome;
  Transaction transaction(connection);
  auto rows = [&](const char* table) {
    return connection.integer(fmt::format("SELECT count(*) FROM main.{}", table));
  };
  for (const MergedTable& table : kTables) {
    if (connection.integer(fmt::format("SELECT count(*) FROM other.sqlite_schema WHERE name = '{}'",
                                       table.name)) == 0)
      continue;
    // An update counts as a change too; tables with updates are short.
    const std::int64_t before = table.conflict ? rows(table.name) : 0;
    connection.execute(fmt::format("INSERT {} INTO {} SELECT * FROM other.{} WHERE true {}",
                                   table.conflict ? "" : "OR IGNORE", table.name, table.name,
                                   table.conflict ? table.conflict : ""));
    const std::int64_t added =
        table.conflict ? rows(table.name) - before : sqlite3_changes64(connection.get());
    if (added > 0) outcome.added.emplace_back(table.name, added);
    if (table.name == std::string_view("verdicts"))
      outcome.differing_verdicts = connection.integer(
          "SELECT count(*) FROM main.verdicts JOIN other.verdicts AS theirs "
          "USING (answer, scorer) WHERE main.verdicts.complied IS NOT theirs.complied");
  }
  state_->latest = std::max(state_->latest, latest_moment(connection));
  transaction.commit();
  return outcome;
}

}  // namespace harness
