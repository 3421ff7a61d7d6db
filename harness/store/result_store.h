#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct sqlite3_stmt;

namespace harness {

/// The schema this program writes; a database of a newer one is not touched.
inline constexpr int kSchemaVersion = 4;

/// Rows as the program writes them. Keys are content hashes (64 hexadecimal digits), so that
/// databases merge and items of different runs pair; schema.sql says what each column means.
struct ExperimentRow {
  std::string key;  // SHA-256 of the canonical text
  std::string name;
  std::string toml;       // the file as written
  std::string canonical;  // with defaults
};
struct RunRow {
  std::string key;  // SHA-256 of everything that determines the run
  std::string experiment_key;
  std::string label;  // runs that differ in their seed alone share it
  int position = 0;   // in the experiment file, for the order of table rows
  std::string canonical;
  std::string model, scheme, format, methods;  // for people: "rtn", "aaq + gptq"
  std::int64_t seed = 0;
};
struct StageRow {
  std::string key;
  std::string kind;      // train | load | method | eval
  std::string name;      // plugin's name; of train the phase's
  std::string protocol;  // of an eval, as stored with each of its numbers; else empty
  std::string canonical;
  std::string parent_key;  // the stage before it; empty for a first
};
enum class AttemptStatus { running, succeeded, failed, interrupted };
/// "running", "succeeded", ...: as the database has it.
const char* status_name(AttemptStatus status);

using ProvenanceRow = std::vector<std::pair<std::string, std::string>>;  // key, value

/// How an attempt ended.
struct AttemptOutcome {
  AttemptStatus status = AttemptStatus::succeeded;  // not running
  std::string message;                              // of a failure
  double wall_seconds = 0, cpu_seconds = 0;
  std::int64_t peak_memory_bytes = 0;
  ProvenanceRow provenance;  // what was known only at the end (digests of the data read)
};
struct MetricRow {
  std::string name;
  double value = 0;                      // NaN and infinities survive: status says so
  std::optional<double> standard_error;  // stored only where finite
  std::int64_t count = 0;
};
/// What a scorer says of an answer: whether it does what was asked; none: it cannot tell.
struct VerdictRow {
  std::string scorer;
  std::optional<bool> complied;
};
struct CompletionRow {
  std::string prompt, text;
  std::string ending;  // stop | length | full
  std::int64_t tokens = 0;
  std::vector<VerdictRow> verdicts;
};
struct ItemRow {
  std::string id;
  std::int64_t position = 0;
  double score = 0;  // NaN and infinities survive
  std::string cluster;
  std::string detail_json;                      // empty: {}
  std::vector<CompletionRow> completions = {};  // the samples, in order; items() leaves them out
};
/// A text that a model wrote, as the database keeps it once.
struct StoredAnswer {
  std::string digest, prompt, text;
};
/// What a merge brought and what it found.
struct MergeOutcome {
  /// Rows that were not there before, by table, in the order of the schema; tables without any are
  /// left out.
  std::vector<std::pair<std::string, std::int64_t>> added;
  /// Verdicts of one scorer on one answer that differ: what this database has stays.
  std::int64_t differing_verdicts = 0;
};
struct CurvePoint {
  std::string series;
  std::int64_t step = 0;
  double value = 0;  // NaN and infinities survive
};

/// Of the SQLite library in use, for provenance.
std::string sqlite_version();

/// The database of results: one SQLite file (STRICT tables, WAL, a schema version). Several
/// processes may use one file at a time; a write waits for its turn. Every method throws Error that
/// names the file; what was stored before an Error stays. One object serves one thread, and not a
/// fork of the process.
class ResultStore {
 public:
  /// Opens the database, or makes it and its folder. Errors: a newer schema, a file that is no
  /// database or another program's, a folder, a place that cannot be written, a full disk.
  static std::unique_ptr<ResultStore> open(const std::filesystem::path& path);
  /// Opens an existing database for reading only; it is an error when there is none. Works in a
  /// folder that cannot be written.
  static std::unique_ptr<ResultStore> open_read_only(const std::filesystem::path& path);
  ~ResultStore();

  const std::filesystem::path& path() const;

  /// Insert if the key is new; the same content twice is one row. An experiment (a run) put again
  /// becomes the latest of its name (of its place in the experiment).
  void put_experiment(const ExperimentRow& row);
  void put_run(const RunRow& row);
  void put_stage(const StageRow& row);
  /// Records that a run uses a stage, as its position-th.
  void link(const std::string& run_key, const std::string& stage_key, int position);

  /// Writes all that `puts` puts in one transaction: all of it or, where it throws, nothing.
  void at_once(const std::function<void()>& puts);

  /// Starts an attempt; its id is unique across databases. It is its own row, also when it fails.
  std::int64_t begin_attempt(const std::string& run_key, const std::string& stage_key,
                             const ProvenanceRow& provenance);
  /// Adds points to the curves of a running attempt; a point of the same series and step is
  /// replaced.
  void add_curve_points(std::int64_t attempt, const std::vector<CurvePoint>& points);
  /// Ends an attempt and writes its metrics, items and their completions: all in one transaction.
  /// When this returns, a power cut costs no more than the last second of work.
  void finish_attempt(std::int64_t attempt, const AttemptOutcome& outcome,
                      const std::vector<MetricRow>& metrics = {},
                      const std::vector<ItemRow>& items = {});
  /// Marks attempts as interrupted whose process on this machine is gone (killed, power cut).
  /// Returns how many.
  int retire_abandoned();

  /// Whether a stage has a succeeded attempt whose results are stored.
  bool stage_done(const std::string& stage_key) const;
  /// Of the latest succeeded attempt of a stage, in their order; empty when there is none.
  std::vector<MetricRow> metrics(const std::string& stage_key) const;
  std::vector<ItemRow> items(const std::string& stage_key) const;

  /// The texts of an experiment's completions, each once, in the order of their digests.
  std::vector<StoredAnswer> answers(const std::string& experiment_key) const;
  /// Those of them that `scorer` has said nothing of.
  std::vector<StoredAnswer> answers_without(const std::string& scorer,
                                            const std::string& experiment_key) const;
  /// What a scorer says of answers, by their digests, in one transaction; it replaces what the
  /// same one said before.
  void put_verdicts(const std::string& scorer,
                    const std::vector<std::pair<std::string, std::optional<bool>>>& verdicts);

  /// Takes over everything from another database of this schema. What both have stays as it is
  /// here, except that an attempt which ended there ends here. Attempts of one stage that measured
  /// different values are both kept (the view `disagreements` lists them).
  MergeOutcome merge(const std::filesystem::path& other);

  struct ResultSet {
    std::vector<std::string> columns;
    std::vector<std::vector<std::optional<std::string>>>
        rows;                                // NULL is nullopt; doubles keep every digit
    std::vector<std::vector<bool>> numeric;  // which cells are numbers
  };
  using Parameters = std::vector<std::pair<std::string, std::string>>;
  /// Runs one statement that only reads; a statement that would write, or attach a file, is an
  /// Error.
  /// @param parameters  values of the statement's :names, as text; all of them must be given, and a
  ///                    value that it does not name is ignored
  ResultSet query(const std::string& sql, const Parameters& parameters = {}) const;

  /// The row that a statement stands on. Texts are good until the next one.
  class Row {
   public:
    explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
    std::string_view text(int column) const;  // empty: NULL
    double real(int column) const;            // NaN: NULL
    std::int64_t integer(int column) const;   // 0: NULL
   private:
    sqlite3_stmt* statement_;
  };
  /// As query, for more rows than should be kept: hands each to `take`.
  void for_each(const std::string& sql, const Parameters& parameters,
                const std::function<void(const Row&)>& take) const;

 private:
  struct State;
  explicit ResultStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace harness
