#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "harness/app/commands.h"
#include "harness/app/terminal.h"
#include "harness/report/main_table.h"
#include "harness/report/paired_table.h"
#include "harness/report/render.h"
#include "harness/run/runner.h"

namespace harness {

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
  command->footer(
      "Exit status: 0 all runs succeeded, 1 some failed, 2 the request cannot be done.\n"
      "Examples:\n"
      "  harness run experiments/quickstart.toml\n"
      "  harness run experiments/quickstart.toml --set evals.perplexity.limit=2 --db "
      "try.sqlite\n"
      "  harness run experiments/quickstart.toml --only \"RTN W4A16 g64\" --set dtype=fp32");
  command->callback([=, &session] {
    session.exit_code =
        run_and_report(read_experiment(*file, arguments->options), session, database->path);
  });
}

}  // namespace harness
