#include <CLI/CLI.hpp>
#include <filesystem>

#include "harness/app/commands.h"
#include "harness/core/error.h"
#include "harness/report/compare.h"
#include "harness/store/result_store.h"

namespace harness {

namespace {

struct CompareArguments {
  std::string a, b, second_database, format = "text", out;
  DatabaseOption database;
  CompareOptions options;
};

bool is_file(const std::string& name) {
  std::error_code none;
  return std::filesystem::is_regular_file(name, none);
}

std::vector<Table> compared(const CompareArguments& arguments) {
  if (is_file(arguments.a) && is_file(arguments.b))
    return compare_databases(*ResultStore::open_read_only(arguments.a),
                             *ResultStore::open_read_only(arguments.b), arguments.options);
  if (is_file(arguments.a) || is_file(arguments.b))
    throw Error("harness compare", "one of the two is a file",
                "two databases, or two runs by label or key",
                "name a run of another database with --db or --db2");
  const auto a = ResultStore::open_read_only(arguments.database.path);
  const auto b = ResultStore::open_read_only(
      arguments.second_database.empty() ? arguments.database.path : arguments.second_database);
  return compare_runs(*a, arguments.a, *b, arguments.b, arguments.options);
}

}  // namespace

void add_compare(CLI::App& app, Session&) {
  auto* command = app.add_subcommand(
      "compare", "Compare two runs item by item, or seed by seed: how much, and how sure");
  auto arguments = std::make_shared<CompareArguments>();
  command
      ->add_option("a", arguments->a,
                   "label (EXPERIMENT/LABEL where several have it), the beginning of a key, or a "
                   "database")
      ->required();
  command->add_option("b", arguments->b, "another; it is compared with the first")->required();
  arguments->database.add_to(*command);
  command->add_option("--db2", arguments->second_database,
                      "database of the second run, where it is another one");
  command->add_option("--items", arguments->options.items,
                      "list so many of the items of each eval that changed");
  command->add_option("--detect", arguments->options.detect,
                      "say how many items, or seeds, would show a difference of this size");
  command->add_option("--power", arguments->options.plan.power, "... with this probability")
      ->capture_default_str();
  command->add_option("--format", arguments->format, "text, markdown or csv")
      ->check(CLI::IsMember({"text", "markdown", "csv"}))
      ->capture_default_str();
  command->add_option("--out", arguments->out, "write to this file instead of standard output");
  command->footer(
      "Examples:\n"
      "  harness compare aligned \"RTN W4A4KV4\" --items 5\n"
      "  harness compare w4a4_world/OSTQuant w4a4_world/AAQ --detect 0.01\n"
      "  harness compare here.sqlite there.sqlite");
  command->callback([=] {
    std::string text;
    for (const Table& table : compared(*arguments))
      text += (text.empty() ? "" : "\n") + render(table, arguments->format);
    write_output(text, arguments->out);
  });
}

}  // namespace harness
