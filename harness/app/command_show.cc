#include <CLI/CLI.hpp>
#include <iostream>

#include "harness/app/commands.h"
#include "harness/report/show_run.h"
#include "harness/store/result_store.h"

namespace harness {

void add_show(CLI::App& app, Session&) {
  auto* command = app.add_subcommand("show", "Show one run with all it depends on");
  auto run = std::make_shared<std::string>();
  auto database = std::make_shared<DatabaseOption>();
  command->add_option("run", *run, "label of a run, or the beginning of its key")->required();
  database->add_to(*command);
  command->footer(
      "Examples:\n  harness show \"RTN W4A4KV4\"\n  harness show 3fa9 --db mine.sqlite");
  command->callback(
      [=] { std::cout << show_run(*ResultStore::open_read_only(database->path), *run); });
}

}  // namespace harness
