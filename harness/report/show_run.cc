#include "harness/report/show_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/core/text.h"
#include "harness/report/named_rows.h"
#include "harness/store/lookup.h"
#include "harness/store/process.h"

namespace harness {
namespace {

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
  const NamedRows metrics(store,
                          "SELECT name, value, status, standard_error, count FROM metrics "
                          "WHERE attempt = :attempt ORDER BY position",
                          {{"attempt", attempt}});
  std::string result;
  for (std::size_t r = 0; r < metrics.size(); ++r) {
    result += fmt::format("      {} = {}", metrics.text(r, "name"),
                          metrics.cell(r, "value").value_or(metrics.text(r, "status")));
    if (const auto& error = metrics.cell(r, "standard_error"))
      result += fmt::format(" ± {}", *error);
    result += fmt::format("  ({} items)\n", metrics.text(r, "count"));
  }
  const NamedRows items(store, "SELECT count(*) AS items FROM items WHERE attempt = :attempt",
                        {{"attempt", attempt}});
  if (items.integer(0, "items") > 0)
    result += fmt::format("      items stored: {}\n", items.text(0, "items"));
  const NamedRows curves(store,
                         "SELECT series, count(*) AS points, max(step) AS last FROM curves "
                         "WHERE attempt = :attempt GROUP BY series",
                         {{"attempt", attempt}});
  for (std::size_t r = 0; r < curves.size(); ++r)
    result += fmt::format("      curve {}: {} points to step {}\n", curves.text(r, "series"),
                          curves.text(r, "points"), curves.text(r, "last"));
  return result;
}

/// "running" of a process that is gone says so.
std::string status_text(const NamedRows& attempts, std::size_t r) {
  const std::string status = attempts.text(r, "status"), host = attempts.text(r, "host");
  if (status != "running") return status;
  const std::int64_t pid = attempts.integer(r, "pid");
  switch (liveness({host, pid, attempts.text(r, "process")})) {
    case Liveness::alive:
      return fmt::format("running as process {}", pid);
    case Liveness::gone:
      return fmt::format("interrupted: its process {} is gone", pid);
    case Liveness::unknown:
      break;
  }
  return fmt::format("running as process {} of {}", pid, host);
}

std::string attempts_text(const ResultStore& store, const std::string& stage) {
  const NamedRows attempts(
      store, "SELECT * FROM attempts WHERE stage_key = :stage ORDER BY started_at, id",
      {{"stage", stage}});
  if (attempts.size() == 0) return "    not started\n";
  std::string result;
  for (std::size_t r = 0; r < attempts.size(); ++r) {
    result +=
        fmt::format("    attempt {} of {}: {}\n", r + 1, attempts.size(), status_text(attempts, r));
    result += indented(attempts.text(r, "message"), "      ");
    result += fmt::format("      {} to {}\n", attempts.text(r, "started_at"),
                          attempts.cell(r, "ended_at").value_or("?"));
    if (const auto wall = attempts.number(r, "wall_seconds"))
      result += fmt::format("      wall {}, CPU {}, peak memory {}\n", human_seconds(*wall),
                            human_seconds(attempts.number(r, "cpu_seconds").value_or(0)),
                            human_bytes(attempts.number(r, "peak_memory_bytes").value_or(0)));
    const std::string id = attempts.text(r, "id");
    result += metrics_text(store, id);
    const NamedRows provenance(
        store, "SELECT key, value FROM provenance WHERE attempt = :attempt ORDER BY key",
        {{"attempt", id}});
    for (std::size_t p = 0; p < provenance.size(); ++p)
      result +=
          fmt::format("      {}: {}\n", provenance.text(p, "key"), provenance.text(p, "value"));
  }
  return result;
}

std::string stages_text(const ResultStore& store, const std::string& run) {
  const NamedRows stages(store,
                         "SELECT s.key, s.kind, s.name, s.protocol, s.canonical, s.parent_key "
                         "FROM run_stages rs JOIN stages s ON s.key = rs.stage_key "
                         "WHERE rs.run_key = :key ORDER BY rs.position, s.key",
                         {{"key", run}});
  if (stages.size() == 0) return "  none stored\n";
  std::string result;
  for (std::size_t r = 0; r < stages.size(); ++r) {
    result += fmt::format("  {}. {} {}\n", r + 1, stages.text(r, "kind"), stages.text(r, "name"));
    if (const std::string protocol = stages.text(r, "protocol"); !protocol.empty())
      result += fmt::format("    protocol {}\n", protocol);
    result += fmt::format("    key      {}\n", stages.text(r, "key"));
    if (const auto& parent = stages.cell(r, "parent_key"))
      result += fmt::format("    after    {}\n", *parent);
    result += "    content\n" + indented(stages.text(r, "canonical"), "      ");
    result += attempts_text(store, stages.text(r, "key"));
  }
  return result;
}

}  // namespace

std::string show_run(const ResultStore& store, const std::string& label_or_key) {
  const RunName found = find_run(store, label_or_key);
  const NamedRows run(store, "SELECT * FROM runs WHERE key = :key", {{"key", found.key}});
  const NamedRows rows(store,
                       "SELECT e.name, e.key, c.position, c.label, c.model FROM experiment_runs c "
                       "JOIN experiments e ON e.key = c.experiment_key WHERE c.run_key = :key "
                       "ORDER BY e.used_at DESC, e.key, c.position",
                       {{"key", found.key}});
  const std::string methods = run.text(0, "methods");
  std::string result = fmt::format(
      "{}\n  key      {}\n  model    {}\n  weights  {}\n  format   {}\n  methods  {}\n  seed     "
      "{}\n",
      found.label, found.key, rows.text(0, "model"), run.text(0, "scheme"), run.text(0, "format"),
      methods.empty() ? "none" : methods, run.text(0, "seed"));
  for (std::size_t r = 0; r < rows.size(); ++r)
    result += fmt::format("  row {} of {} ({}) as \"{}\"\n", rows.integer(r, "position") + 1,
                          rows.text(r, "name"), rows.text(r, "key"), rows.text(r, "label"));
  result += "\nconfiguration\n" + indented(run.text(0, "canonical"), "  ");
  result += "\nstages\n" + stages_text(store, found.key);
  result += fmt::format("\nexperiment file of {}\n", found.experiment);
  return result + indented(experiment_toml(store, found.experiment_key), "  ");
}

}  // namespace harness
