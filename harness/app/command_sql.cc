#include <CLI/CLI.hpp>
#include <iostream>

#include "harness/app/commands.h"
#include "harness/report/render.h"
#include "harness/store/result_store.h"

namespace harness {

void add_sql(CLI::App& app, Session&) {
  auto* command = app.add_subcommand("sql", "Ask the database, read-only");
  auto query = std::make_shared<std::string>();
  auto csv = std::make_shared<bool>(false);
  auto database = std::make_shared<DatabaseOption>();
  command->add_option("query", *query, "one SQL statement that only reads")->required();
  command->add_flag("--csv", *csv, "comma-separated values with every digit");
  database->add_to(*command);
  command->footer(
      "Examples:\n"
      "  harness sql \"select label, metric, value from results\"\n"
      "  harness sql \"select name, sql from sqlite_schema\"");
  command->callback([=] {
    auto store = ResultStore::open_read_only(database->path);
    Table table = result_table(store->query(*query));
    std::cout << (*csv ? to_csv(table) : to_text(table));
  });
}

}  // namespace harness
