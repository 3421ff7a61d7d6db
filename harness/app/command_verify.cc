#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <set>

#include "harness/app/commands.h"
#include "harness/app/terminal.h"
#include "harness/report/render.h"
#include "harness/run/verify.h"
#include "harness/store/lookup.h"

namespace harness {
namespace {

/// The run that is named, or the current runs of the experiment that was used last.
std::vector<std::string> runs_of(const ResultStore& store, const std::string& run) {
  if (!run.empty()) return {find_run(store, run).key};
  const auto found = store.query(
      "SELECT run_key FROM current_runs WHERE experiment_key = "
      "(SELECT key FROM experiments ORDER BY used_at DESC, key LIMIT 1) ORDER BY position");
  if (found.rows.empty())
    throw Error(store.path().string(), "holds no run", "one", "run an experiment first");
  std::vector<std::string> keys;
  for (const auto& row : found.rows) keys.push_back(*row[0]);
  return keys;
}

void append(std::vector<Cell>& row, const std::string& compared, const Agreements& agreements) {
  row.push_back({compared});
  for (const std::int64_t count : {agreements.equal, agreements.within, agreements.different})
    row.push_back({compared.empty() ? "" : std::to_string(count)});
}

/// "1536", of a sample "20 of 1536"; empty where there is none.
std::string items_text(const VerifiedStage& stage) {
  const std::int64_t compared = stage.items.all();
  if (compared == stage.stored_items) return compared > 0 ? std::to_string(compared) : "";
  return fmt::format("{} of {}", compared, stage.stored_items);
}

void print(const std::vector<VerifiedStage>& stages) {
  constexpr Alignment right = Alignment::right;
  Table table{.caption = "",
              .columns = {{.title = "run"},
                          {.title = "stage"},
                          {.title = "compared", .group = "items", .alignment = right},
                          {.title = "equal", .group = "items", .alignment = right},
                          {.title = "within", .group = "items", .alignment = right},
                          {.title = "different", .group = "items", .alignment = right},
                          {.title = "compared", .group = "values", .alignment = right},
                          {.title = "equal", .group = "values", .alignment = right},
                          {.title = "within", .group = "values", .alignment = right},
                          {.title = "different", .group = "values", .alignment = right},
                          {.title = "largest", .alignment = right},
                          {.title = "says"}},
              .rows = {},
              .notes = {}};
  std::set<std::string> conditions;
  for (const VerifiedStage& stage : stages) {
    const std::string name = stage.protocol.empty() ? stage.name : stage.protocol;
    std::vector<Cell>& row = table.rows.emplace_back();
    row = {{stage.run}, {name}};
    append(row, items_text(stage), stage.items);
    append(row, std::to_string(stage.values.all()), stage.values);
    row.push_back({stage.largest > 0 ? fmt::format("{:.2g}", stage.largest) : "0"});
    row.push_back({stage.problem.empty() ? agreement_name(stage.agreement()) : stage.problem});
    conditions.insert(stage.conditions.begin(), stage.conditions.end());
    for (const VerifiedDifference& each : stage.differences)
      table.notes.push_back(fmt::format("{}, {}: {}: stored {}, now {}", stage.run, name, each.what,
                                        each.stored, each.found));
  }
  table.notes.emplace_back(
      "values: scores, what stands in details of items, metrics of all items, curves; largest: "
      "difference of two numbers, over the larger of them or 1");
  for (const std::string& condition : conditions) table.notes.push_back(condition);
  std::cout << to_text(table);
}

}  // namespace

void add_verify(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand(
      "verify", "Compute stored runs again, and compare each number with what is stored");
  auto run = std::make_shared<std::string>();
  auto options = std::make_shared<VerifyOptions>();
  auto database = std::make_shared<DatabaseOption>();
  command->add_option("run", *run,
                      "label of a run, or the beginning of its key; default: the runs of the "
                      "experiment that was used last");
  command
      ->add_option("--sample", options->sample,
                   "measure only so many items of each eval, drawn; evals that do not go item by "
                   "item are measured whole")
      ->check(CLI::PositiveNumber);
  command->add_option("--seed", options->seed, "by which --sample draws")->capture_default_str();
  command
      ->add_option("--tolerance", options->tolerance,
                   fmt::format("that two numbers may differ by, times the larger of them or 1; "
                               "default {}, with --sample {}: other batches, other sums",
                               kTolerance, kSampleTolerance))
      ->check(CLI::NonNegativeNumber);
  add_data_option(*command, options->data_dir);
  database->add_to(*command);
  command->footer(
      "Models are loaded, methods applied (trainings of transforms included) and evals measured as "
      "if\n"
      "nothing were stored; trained pairs are taken as they are. The database is only read.\n"
      "Exit status: 0 all is equal or within the tolerance, 1 something differs, 2 it cannot be "
      "done.\n"
      "Examples:\n"
      "  harness verify \"RTN W4A4KV4\"\n"
      "  harness verify --sample 20");
  command->callback([=, &session] {
    const auto store = ResultStore::open_read_only(database->path);
    TerminalProgress progress;
    const std::vector<VerifiedStage> stages =
        verify_runs(*store, runs_of(*store, *run), *options, session.plugins, progress);
    print(stages);
    session.exit_code = std::any_of(stages.begin(), stages.end(), [](const VerifiedStage& stage) {
      return stage.agreement() == Agreement::different;
    });
  });
}

}  // namespace harness
