#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "harness/app/commands.h"
#include "harness/report/queries.h"
#include "harness/report/render.h"

namespace harness {
namespace {

/// "3 attempts, 40 items"
std::string rows_text(const MergeOutcome& outcome) {
  std::vector<std::string> parts;
  for (const auto& [table, count] : outcome.added)
    parts.push_back(fmt::format("{} {}", count, table));
  return parts.empty() ? "nothing new" : fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace

void add_merge(CLI::App& app, Session&) {
  auto* command = app.add_subcommand("merge", "Take the results of other databases into one");
  auto into = std::make_shared<std::string>();
  auto from = std::make_shared<std::vector<std::string>>();
  command->add_option("into", *into, "database that receives; made where there is none")
      ->required();
  command->add_option("from", *from, "databases that are read")->required();
  command->footer(
      "Nothing is lost and nothing stands twice. Where two machines measured one stage "
      "differently,\n"
      "both attempts stay with their provenance; they are listed, and tables say so and show the "
      "latest.\n"
      "Example:\n"
      "  harness merge results/results.sqlite node1.sqlite node2.sqlite");
  command->callback([=] {
    const auto store = ResultStore::open(*into);
    for (const std::string& each : *from) {
      const MergeOutcome outcome = store->merge(each);
      log_info(fmt::format("{}: {}", each, rows_text(outcome)));
      if (outcome.differing_verdicts > 0)
        log_warning(
            fmt::format("{}: {} verdicts differ from those of the same scorer in {}, which "
                        "stay",
                        each, outcome.differing_verdicts, *into));
    }
    Table table = result_table(store->query(kDisagreementsSql));
    if (table.rows.empty()) return;
    table.caption = "Measured differently under one key; both are kept, tables show the latest";
    std::cout << to_text(table);
  });
}

}  // namespace harness
