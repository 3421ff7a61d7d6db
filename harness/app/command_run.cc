#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "harness/app/commands.h"
#include "harness/app/terminal.h"
#include "harness/core/provenance.h"
#include "harness/core/text.h"
#include "harness/report/main_table.h"
#include "harness/report/paired_table.h"
#include "harness/report/render.h"
#include "harness/run/forecast.h"
#include "harness/run/runner.h"

namespace harness {
namespace {

/// "1:02", or how many stages nothing is known of.
std::string time_text(double seconds, int untimed) {
  if (untimed == 0) return human_seconds(seconds);
  return fmt::format("{}{} untimed", seconds > 0 ? human_seconds(seconds) + " + " : "", untimed);
}

void print_forecast(const Forecast& forecast) {
  Table table{.caption = "",
              .columns = {{.title = "run"},
                          {.title = "model"},
                          {.title = "seed", .alignment = Alignment::right},
                          {.title = "stages", .alignment = Alignment::right},
                          {.title = "stored", .alignment = Alignment::right},
                          {.title = "time", .alignment = Alignment::right},
                          {.title = "memory", .alignment = Alignment::right}},
              .rows = {},
              .notes = {}};
  double seconds = 0;
  int untimed = 0, left = 0;
  std::int64_t bytes = 0;
  for (const RunForecast& run : forecast.runs) {
    seconds += run.seconds;
    untimed += run.untimed;
    left += !run.complete;
    if (!run.complete) bytes = std::max(bytes, run.bytes);
    table.rows.push_back({{run.label},
                          {run.model},
                          {std::to_string(run.seed)},
                          {std::to_string(run.stages)},
                          {std::to_string(run.stored)},
                          {run.complete ? "stored" : time_text(run.seconds, run.untimed)},
                          {run.complete ? ""
                                        : (run.bytes_measured ? "" : "~") +
                                              human_bytes(static_cast<double>(run.bytes))}});
  }
  table.notes.push_back(
      fmt::format("{} runs, {} of them left; {} stages, {} shared by runs, {} stored",
                  forecast.runs.size(), left, forecast.stages, forecast.shared, forecast.stored));
  table.notes.push_back(fmt::format(
      "time left: {}; memory: {} of the {} here", time_text(seconds, untimed),
      human_bytes(static_cast<double>(bytes)), human_bytes(static_cast<double>(memory_bytes()))));
  table.notes.emplace_back(
      "time: of earlier attempts at such stages; untimed: stages that none was made at; ~: from "
      "the model's shape, trainings of transforms not counted");
  std::cout << to_text(table);
}

}  // namespace

int run_and_report(const Experiment& experiment, const Session& session,
                   const std::string& database, const std::string& reference) {
  Plan plan = make_plan(experiment, session.plugins);
  auto store = ResultStore::open(database);
  TerminalProgress progress;
  RunSummary summary = run_plan(plan, *store, progress);
  std::cout << to_text(main_table(*store, plan.experiment.key));
  if (!reference.empty() && !summary.interrupted)
    std::cout << "\n" << to_text(paired_table(*store, plan.experiment.key, reference));
  fmt::print(stderr,
             "results: {}   `harness report {}` prints them again, `harness show LABEL` one run\n",
             database, experiment.name);
  if (summary.interrupted) {
    fmt::print(stderr, "interrupted: what was finished is stored; the same command goes on\n");
    return 130;
  }
  return summary.failed > 0 ? 1 : 0;
}

void add_run(CLI::App& app, Session& session) {
  auto* command =
      app.add_subcommand("run", "Run an experiment file; what is stored is not done again");
  auto file = std::make_shared<std::string>();
  auto database = std::make_shared<DatabaseOption>();
  auto arguments = std::make_shared<ExperimentArguments>();
  command->add_option("experiment", *file, "experiment file (TOML)")->required();
  database->add_to(*command);
  arguments->add_to(*command);
  auto dry = std::make_shared<bool>(false);
  command->add_flag("--dry-run", *dry,
                    "say what would be run, what is stored, how long the rest takes and how much "
                    "memory, and run nothing");
  command->footer(
      "Exit status: 0 all runs succeeded, 1 some failed, 2 the request cannot be done.\n"
      "Examples:\n"
      "  harness run experiments/quickstart.toml\n"
      "  harness run experiments/quickstart.toml --set evals.perplexity.limit=2 --db "
      "try.sqlite\n"
      "  harness run experiments/quickstart.toml --dry-run\n"
      "  harness run experiments/quickstart.toml --only \"RTN W4A16 g64\" --set dtype=fp32");
  command->callback([=, &session] {
    const Experiment experiment = read_experiment(*file, arguments->options);
    if (!*dry) {
      session.exit_code = run_and_report(experiment, session, database->path);
      return;
    }
    const auto store = std::filesystem::exists(database->path)
                           ? ResultStore::open_read_only(database->path)
                           : nullptr;
    print_forecast(forecast(make_plan(experiment, session.plugins), store.get()));
  });
}

}  // namespace harness
