#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace harness {

/// Rows as the program writes them. Keys are content hashes (64 hexadecimal digits), so that databases merge
/// and items of different runs pair; schema.sql says what each column means.
struct ExperimentRow {
  std::string key;   // SHA-256 of the canonical text
  std::string name;
  std::string toml;       // the file as written
  std::string canonical;  // with defaults
};
struct RunRow {
  std::string key;  // SHA-256 of everything that determines the run
  std::string experiment_key;
  std::string label;
  int position = 0;  // in the experiment file, for the order of table rows
  std::string canonical;
  std::string model, scheme, format, methods;  // for people: "rtn", "aaq + gptq"
  std::int64_t seed = 0;
};
struct StageRow {
  std::string key;
  std::string kind;  // load | method | eval
  std::string name;  // plugin's name
  std::string canonical;
  std::string parent_key;  // the stage before it; empty for load
};
enum class AttemptStatus { running, succeeded, failed, interrupted };
struct AttemptRow {
  std::string stage_key, run_key;
  AttemptStatus status = AttemptStatus::running;
  std::string message;  // of a failure
  double wall_seconds = 0, cpu_seconds = 0;
  std::int64_t peak_memory_bytes = 0;
};
struct MetricRow {
  std::string name;
  double value = 0;  // NaN and infinities survive: status says so
  std::optional<double> standard_error;
  std::int64_t count = 0;
};
struct ItemRow {
  std::string id;
  std::int64_t position = 0;
  double score = 0;
  std::string cluster;
  std::string detail_json;
};
using ProvenanceRow = std::vector<std::pair<std::string, std::string>>;  // key, value

/// The database of results: one SQLite file (STRICT tables, WAL, a schema version). Several processes may use
/// one file at a time; a write waits for its turn. Every method throws Error that names the file.
class ResultStore {
 public:
  /// Opens or makes the database. Errors: a newer schema, a file that is no database, a folder that cannot be
  /// written, a full disk.
  static std::unique_ptr<ResultStore> open(const std::filesystem::path& path);
  /// Opens an existing database for reading only; it is an error when there is none.
  static std::unique_ptr<ResultStore> open_read_only(const std::filesystem::path& path);
  ~ResultStore();

  const std::filesystem::path& path() const;

  /// Insert if the key is new; the same content twice is one row.
  void put_experiment(const ExperimentRow& row);
  void put_run(const RunRow& row);
  void put_stage(const StageRow& row);
  /// Records that a run uses a stage.
  void link(const std::string& run_key, const std::string& stage_key, int position);

  /// Starts an attempt; its number identifies it (an attempt is its own row, also when it fails).
  std::int64_t begin_attempt(const std::string& run_key, const std::string& stage_key,
                             const ProvenanceRow& provenance);
  /// Ends an attempt and, when it succeeded, writes its metrics and items: all in one transaction.
  void finish_attempt(std::int64_t attempt, const AttemptRow& outcome, const std::string& protocol,
                      const std::vector<MetricRow>& metrics, const std::vector<ItemRow>& items);

  /// Whether a stage has a succeeded attempt whose results are stored.
  bool stage_done(const std::string& stage_key) const;

  struct ResultSet {
    std::vector<std::string> columns;
    std::vector<std::vector<std::optional<std::string>>> rows;  // SQL NULL is nullopt; doubles keep every digit
    std::vector<std::vector<bool>> numeric;                     // which cells are numbers
  };
  /// Runs one statement that only reads; a statement that would write is an Error.
  ResultSet query(const std::string& sql,
                  const std::vector<std::pair<std::string, std::string>>& parameters = {}) const;

 private:
  struct State;
  explicit ResultStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace harness
