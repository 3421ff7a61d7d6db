#include "harness/report/item_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "harness/core/error.h"
#include "harness/core/text.h"
#include "harness/core/value.h"
#include "harness/report/parquet.h"
#include "harness/report/render.h"
#include "harness/store/lookup.h"

namespace harness {
namespace {

using Type = ExportColumn::Type;

/// Evals of the current runs, in the table's order: what is the same in all items of each.
constexpr const char* kEvals = R"(
  SELECT e.name AS experiment, c.label, c.model, r.format, r.methods, r.seed, s.name AS eval,
    s.protocol, c.run_key, s.key AS stage_key, a.id AS attempt
  FROM current_runs c
  JOIN experiments e ON e.key = c.experiment_key
  JOIN runs r ON r.key = c.run_key
  JOIN run_stages rs ON rs.run_key = c.run_key
  JOIN stages s ON s.key = rs.stage_key AND s.kind = 'eval'
  JOIN shown_attempts a ON a.stage_key = s.key AND a.status = 'succeeded'
  WHERE c.experiment_key = :experiment
    AND (:run IN ('', c.label) OR length(:run) >= 4 AND substr(c.run_key, 1, length(:run)) = :run)
    AND :eval IN ('', s.name, s.protocol)
  ORDER BY c.position, rs.position, s.key)";
constexpr std::size_t kAttempt = 10;  // column of kEvals
/// The items stand between the columns of kEvals that people read and its keys.
constexpr std::size_t kBeforeItems = 8;
constexpr const char* kItems = R"(
  SELECT id, repeat, position, score, status, cluster, detail FROM items WHERE attempt = :attempt
  ORDER BY position, id, repeat)";

const std::vector<ExportColumn>& columns() {
  static const std::vector<ExportColumn> all = {
      {"experiment", Type::text}, {"label", Type::text},       {"model", Type::text},
      {"format", Type::text},     {"methods", Type::text},     {"seed", Type::integer},
      {"eval", Type::text},       {"protocol", Type::text},    {"id", Type::text},
      {"repeat", Type::integer},  {"position", Type::integer}, {"score", Type::real},
      {"status", Type::text},     {"cluster", Type::text},     {"detail", Type::text},
      {"run_key", Type::text},    {"stage_key", Type::text},   {"attempt", Type::integer}};
  return all;
}

class RowWriter {
 public:
  virtual ~RowWriter() = default;
  virtual void add(const ExportRows& rows) = 0;
  virtual void close() = 0;
};

class ParquetRows : public RowWriter {
 public:
  explicit ParquetRows(const std::filesystem::path& path) : writer_(path, columns()) {}
  void add(const ExportRows& rows) override { writer_.add(rows); }
  void close() override { writer_.close(); }

 private:
  ParquetWriter writer_;
};

/// A line a row.
class TextRows : public RowWriter {
 public:
  explicit TextRows(const std::filesystem::path& path)
      : path_(path), file_(path, std::ios::binary | std::ios::trunc) {
    check();
  }
  void add(const ExportRows& rows) override {
    for (const auto& row : rows) file_ << line(row);
    check();
  }
  void close() override {
    file_.close();
    check();
  }

 protected:
  virtual std::string line(const std::vector<std::optional<std::string>>& row) const = 0;
  std::ofstream& file() { return file_; }

 private:
  void check() const {
    if (!file_)
      throw Error(path_.string(), "this file cannot be written", "a place with room",
                  "name another file with --out, or free space");
  }
  std::filesystem::path path_;
  std::ofstream file_;
};

class CsvRows : public TextRows {
 public:
  explicit CsvRows(const std::filesystem::path& path) : TextRows(path) {
    std::vector<std::string> names;
    for (const ExportColumn& column : columns()) names.push_back(column.name);
    file() << csv_line(names);
  }

 private:
  std::string line(const std::vector<std::optional<std::string>>& row) const override {
    std::vector<std::string> fields;
    for (const auto& cell : row) fields.push_back(cell.value_or(""));
    return csv_line(fields);
  }
};

class JsonRows : public TextRows {
 public:
  using TextRows::TextRows;

 private:
  std::string line(const std::vector<std::optional<std::string>>& row) const override {
    std::string text;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const ExportColumn& column = columns()[c];
      const bool as_it_is = column.type != Type::text || column.name == "detail";  // JSON already
      text += fmt::format("{}\"{}\":{}", c > 0 ? "," : "", column.name,
                          !row[c]    ? "null"
                          : as_it_is ? *row[c]
                                     : canonical_text(Value(*row[c])));
    }
    return "{" + text + "}\n";
  }
};

std::unique_ptr<RowWriter> open_writer(ItemFormat format, const std::filesystem::path& out) {
  switch (format) {
    case ItemFormat::parquet:
      return std::make_unique<ParquetRows>(out);
    case ItemFormat::jsonl:
      return std::make_unique<JsonRows>(out);
    case ItemFormat::csv:
      break;
  }
  return std::make_unique<CsvRows>(out);
}

/// Says what there is instead of a choice that matches nothing.
[[noreturn]] void refuse_choice(const ResultStore::ResultSet& all, const ItemChoice& choice) {
  auto values_of = [&](const char* name) {
    const auto column = std::find(all.columns.begin(), all.columns.end(), name);
    std::set<std::string> values;
    for (const auto& row : all.rows)
      values.insert(row[static_cast<std::size_t>(column - all.columns.begin())].value_or(""));
    return values;
  };
  throw Error(
      "export items",
      fmt::format("no eval that succeeded of run \"{}\" and eval \"{}\"", choice.run, choice.eval),
      fmt::format("a run among {}, or the beginning of a key, and an eval among {}",
                  fmt::join(values_of("label"), ", "), fmt::join(values_of("protocol"), ", ")),
      "leave one of them out");
}

}  // namespace

ItemFormat item_format(const std::string& name) {
  if (name == "parquet") return ItemFormat::parquet;
  if (name == "jsonl") return ItemFormat::jsonl;
  if (name == "csv") return ItemFormat::csv;
  throw Error("--format", fmt::format("\"{}\"", name), "one of parquet, jsonl, csv",
              did_you_mean(name, {"parquet", "jsonl", "csv"}));
}

std::int64_t export_items(const ResultStore& store, const std::string& experiment,
                          const ItemChoice& choice, ItemFormat format,
                          const std::filesystem::path& out) {
  const ExperimentName found = find_experiment(store, experiment);
  auto evals_of = [&](const ItemChoice& chosen) {
    return store.query(kEvals,
                       {{"experiment", found.key}, {"run", chosen.run}, {"eval", chosen.eval}});
  };
  const auto evals = evals_of(choice);
  if (evals.rows.empty() && !(choice.run.empty() && choice.eval.empty()))
    refuse_choice(evals_of({}), choice);
  const std::unique_ptr<RowWriter> writer = open_writer(format, out);
  std::int64_t count = 0;
  for (const auto& eval : evals.rows) {
    const auto middle = eval.begin() + kBeforeItems;
    ExportRows rows = store.query(kItems, {{"attempt", eval[kAttempt].value_or("")}}).rows;
    for (auto& row : rows) {
      row.insert(row.begin(), eval.begin(), middle);
      row.insert(row.end(), middle, eval.end());
    }
    if (!rows.empty()) writer->add(rows);
    count += static_cast<std::int64_t>(rows.size());
  }
  writer->close();
  return count;
}

}  // namespace harness
