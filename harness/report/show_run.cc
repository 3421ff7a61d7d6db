#include "harness/report/show_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "harness/core/text.h"
#include "harness/report/table.h"
#include "harness/store/lookup.h"
#include "harness/store/process.h"

namespace harness {
namespace {

using Row = std::vector<std::optional<std::string>>;

std::string text(const Row& row, std::size_t column) { return row[column].value_or(""); }

double number(const std::string& text) {
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// Each line of `block` behind `indent`.
std::string indented(const std::string& block, const std::string& indent) {
  std::string result;
  std::size_t start = 0;
  while (start < block.size()) {
    const std::size_t end = std::min(block.find('\n', start), block.size());
    result += indent + block.substr(start, end - start) + "\n";
    start = end + 1;
  }
  return result;
}

std::string metrics_text(const ResultStore& store, const std::string& attempt) {
  const auto metrics = store.query(
      "SELECT name, value, status, standard_error, count FROM metrics WHERE attempt = :attempt "
      "ORDER BY position",
      {{"attempt", attempt}});
  std::string result;
  for (const Row& row : metrics.rows) {
    result += fmt::format("      {} = {}", text(row, 0), row[1].value_or(text(row, 2)));
    if (row[3]) result += fmt::format(" ± {}", *row[3]);
    result += fmt::format("  ({} items)\n", text(row, 4));
  }
  const auto items =
      store.query("SELECT count(*) FROM items WHERE attempt = :attempt", {{"attempt", attempt}});
  if (text(items.rows.at(0), 0) != "0")
    result += fmt::format("      items stored: {}\n", text(items.rows[0], 0));
  const auto curves = store.query(
      "SELECT series, count(*), max(step) FROM curves WHERE attempt = :attempt GROUP BY series",
      {{"attempt", attempt}});
  for (const Row& row : curves.rows)
    result += fmt::format("      curve {}: {} points to step {}\n", text(row, 0), text(row, 1),
                          text(row, 2));
  return result;
}

/// "running" of a process that is gone says so.
std::string status_text(const Row& attempt) {
  std::string status = text(attempt, 1);
  if (status != "running") return status;
  std::int64_t pid = 0;
  const std::string digits = text(attempt, 9);
  std::from_chars(digits.data(), digits.data() + digits.size(), pid);
  switch (liveness({text(attempt, 8), pid, text(attempt, 10)})) {
    case Liveness::alive:
      return fmt::format("running as process {}", pid);
    case Liveness::gone:
      return fmt::format("interrupted: its process {} is gone", pid);
    case Liveness::unknown:
      break;
  }
  return fmt::format("running as process {} of {}", pid, text(attempt, 8));
}

std::string attempts_text(const ResultStore& store, const std::string& stage) {
  const auto attempts = store.query(
      "SELECT id, status, message, started_at, ended_at, wall_seconds, cpu_seconds, "
      "peak_memory_bytes, host, pid, process FROM attempts WHERE stage_key = :stage "
      "ORDER BY started_at, id",
      {{"stage", stage}});
  if (attempts.rows.empty()) return "    not started\n";
  std::string result;
  int ordinal = 0;
  for (const Row& row : attempts.rows) {
    result += fmt::format("    attempt {} of {}: {}\n", ++ordinal, attempts.rows.size(),
                          status_text(row));
    if (row[2] && !row[2]->empty()) result += indented(*row[2], "      ");
    result += fmt::format("      {} to {}\n", text(row, 3), row[4].value_or("?"));
    if (row[5])
      result += fmt::format("      wall {}, CPU {}, peak memory {}\n",
                            human_seconds(number(text(row, 5))),
                            human_seconds(number(text(row, 6))), human_bytes(number(text(row, 7))));
    result += metrics_text(store, text(row, 0));
    const auto provenance =
        store.query("SELECT key, value FROM provenance WHERE attempt = :attempt ORDER BY key",
                    {{"attempt", text(row, 0)}});
    for (const Row& pair : provenance.rows)
      result += fmt::format("      {}: {}\n", text(pair, 0), text(pair, 1));
  }
  return result;
}

}  // namespace

std::string show_run(const ResultStore& store, const std::string& label_or_key) {
  const RunName found = find_run(store, label_or_key);
  const auto run =
      store.query("SELECT canonical, scheme, format, methods, seed FROM runs WHERE key = :key",
                  {{"key", found.key}});
  const Row& about = run.rows.at(0);
  std::string result = fmt::format("{}\n  key      {}\n", found.label, found.key);
  const auto experiments = store.query(
      "SELECT e.name, e.key, c.position, c.label, c.model FROM experiment_runs c "
      "JOIN experiments e ON e.key = c.experiment_key WHERE c.run_key = :key "
      "ORDER BY e.used_at DESC, e.key, c.position",
      {{"key", found.key}});
  result +=
      fmt::format("  model    {}\n  weights  {}\n  format   {}\n  methods  {}\n  seed     {}\n",
                  text(experiments.rows.at(0), 4), text(about, 1), text(about, 2),
                  text(about, 3).empty() ? "none" : text(about, 3), text(about, 4));
  for (const Row& row : experiments.rows)
    result += fmt::format("  row {} of {} ({}) as \"{}\"\n", number(text(row, 2)) + 1, text(row, 0),
                          text(row, 1), text(row, 3));
  result += "\nconfiguration\n" + indented(text(about, 0), "  ");

  const auto stages = store.query(
      "SELECT s.key, s.kind, s.name, s.protocol, s.canonical, s.parent_key FROM run_stages rs "
      "JOIN stages s ON s.key = rs.stage_key WHERE rs.run_key = :key ORDER BY rs.position, s.key",
      {{"key", found.key}});
  result += "\nstages\n";
  if (stages.rows.empty()) result += "  none stored\n";
  int ordinal = 0;
  for (const Row& row : stages.rows) {
    result += fmt::format("  {}. {} {}\n", ++ordinal, text(row, 1), text(row, 2));
    if (!text(row, 3).empty()) result += fmt::format("    protocol {}\n", text(row, 3));
    result += fmt::format("    key      {}\n", text(row, 0));
    if (row[5]) result += fmt::format("    after    {}\n", *row[5]);
    result += "    content\n" + indented(text(row, 4), "      ");
    result += attempts_text(store, text(row, 0));
  }
  result += fmt::format("\nexperiment file of {}\n", found.experiment);
  const auto toml =
      store.query("SELECT toml FROM experiments WHERE key = :key", {{"key", found.experiment_key}});
  return result + indented(text(toml.rows.at(0), 0), "  ");
}

}  // namespace harness
