#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "harness/app/commands.h"
#include "harness/report/item_export.h"

namespace harness {

void add_export(CLI::App& app, Session&) {
  auto* command = app.add_subcommand("export", "Write stored items for other programs");
  command->require_subcommand(1);
  auto* items = command->add_subcommand("items", "Every item of an experiment, a row each");
  auto experiment = std::make_shared<std::string>();
  auto choice = std::make_shared<ItemChoice>();
  auto format = std::make_shared<std::string>("parquet");
  auto out = std::make_shared<std::string>();
  auto database = std::make_shared<DatabaseOption>();
  items->add_option("experiment", *experiment, "name of an experiment, or the beginning of its key")
      ->required();
  items->add_option("--run", choice->run,
                    "only this run's: its label, or the beginning of its key");
  items->add_option("--eval", choice->eval, "only this eval's: its name or its protocol");
  items->add_option("--format", *format, "parquet, jsonl or csv")->capture_default_str();
  items->add_option("--out", *out, "file to write")->required();
  database->add_to(*items);
  command->footer(
      "Examples:\n"
      "  harness export items quickstart --out quickstart.parquet\n"
      "  harness export items quickstart --run \"RTN W4A16\" --eval refusal --format csv --out "
      "rtn.csv\n"
      "  harness export items quickstart --format jsonl --out quickstart.jsonl");
  items->callback([=] {
    const std::int64_t count = export_items(*ResultStore::open_read_only(database->path),
                                            *experiment, *choice, item_format(*format), *out);
    log_info(fmt::format("{}: {} items", *out, count));
  });
}

}  // namespace harness
