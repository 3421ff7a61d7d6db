#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>

#include "harness/app/commands.h"
#include "harness/report/main_table.h"
#include "harness/report/render.h"
#include "harness/store/result_store.h"

namespace harness {

void add_report(CLI::App& app, Session&) {
  auto* command =
      app.add_subcommand("report", "Print the table of an experiment from the database");
  auto experiment = std::make_shared<std::string>();
  auto format = std::make_shared<std::string>("markdown");
  auto out = std::make_shared<std::string>();
  auto database = std::make_shared<DatabaseOption>();
  command
      ->add_option("experiment", *experiment, "name of an experiment, or the beginning of its key")
      ->required();
  command->add_option("--format", *format, "markdown, csv or text")
      ->check(CLI::IsMember({"markdown", "csv", "text"}))
      ->capture_default_str();
  command->add_option("--out", *out, "write to this file instead of standard output");
  database->add_to(*command);
  command->footer(
      "Examples:\n"
      "  harness report quickstart\n"
      "  harness report quickstart --format csv --out table.csv");
  command->callback([=] {
    Table table = main_table(*ResultStore::open_read_only(database->path), *experiment);
    std::string text = *format == "markdown" ? to_markdown(table)
                       : *format == "csv"    ? to_csv(table)
                                             : to_text(table);
    if (out->empty()) {
      std::cout << text;
      return;
    }
    std::ofstream file(*out, std::ios::binary);
    file << text;
    if (!file.flush()) throw Error(*out, "this file cannot be written");
  });
}

}  // namespace harness
