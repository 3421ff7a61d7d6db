#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>

#include "harness/app/commands.h"
#include "harness/data/file.h"
#include "harness/report/html_page.h"
#include "harness/report/main_table.h"
#include "harness/report/metric_kind.h"
#include "harness/report/paired_table.h"
#include "harness/report/render.h"
#include "harness/report/verdict.h"
#include "harness/store/dump.h"
#include "harness/store/result_store.h"

namespace harness {

std::string render(const Table& table, const std::string& format) {
  if (format == "markdown" || format == "md") return to_markdown(table);
  if (format == "latex") return to_latex(table);
  return format == "csv" ? to_csv(table) : to_text(table);
}

void write_output(const std::string& text, const std::string& out) {
  if (out.empty()) {
    std::cout << text;
    return;
  }
  std::ofstream file(out, std::ios::binary);
  file << text;
  if (!file.flush()) throw Error(out, "this file cannot be written");
}

namespace {

struct ReportArguments {
  std::string experiment, format = "markdown", out, query, reference, against;
  std::string items = "all";
  bool provenance = false, all_pairs = false, verdict = false;
};

/// Which method keeps safety best, in words: Markdown, a paragraph for each model and format.
std::string verdict_paragraphs(const ResultStore& store, const std::string& experiment) {
  const std::vector<SafetyVerdict> verdicts = safety_verdicts(store, experiment);
  std::string text;
  for (const Summary& summary : summaries(verdicts))
    text +=
        fmt::format("{}**{}.** {}, {}, by {} ({}). {}\n", text.empty() ? "" : "\n", summary.title,
                    summary.verdict->model,
                    summary.verdict->format.empty() ? "several formats" : summary.verdict->format,
                    summary.verdict->name.metric, metric_kind(summary.verdict->name.metric).meaning,
                    summary.text);
  if (text.empty())
    throw Error(experiment, "no quantized run with a metric of safety", "one to judge",
                "`harness report` without --verdict shows what was measured");
  return text;
}

std::string report_text(const ResultStore& store, const ReportArguments& arguments) {
  if (arguments.experiment.empty()) {
    if (arguments.format == "sql" || arguments.format == "html")
      throw Error("report", fmt::format("no experiment to write as {}", arguments.format),
                  "a name or key", "`harness report` lists them");
    return render(experiments_table(store), arguments.format);
  }
  if (arguments.format == "sql")
    return dump(store, arguments.experiment,
                arguments.items == "all"     ? DumpedItems::all
                : arguments.items == "first" ? DumpedItems::first
                                             : DumpedItems::none);
  if (arguments.format == "html") return to_html_page(store, arguments.experiment);
  if (arguments.verdict) return verdict_paragraphs(store, arguments.experiment);
  Table table = !arguments.reference.empty()
                    ? paired_table(store, arguments.experiment, arguments.reference)
                : arguments.all_pairs ? all_pairs_table(store, arguments.experiment)
                : arguments.query.empty()
                    ? main_table(store, arguments.experiment, kMainTableSql, arguments.against)
                    : query_table(store, arguments.experiment, read_text_file(arguments.query));
  std::string text = render(table, arguments.format);
  if (arguments.provenance)
    text += "\n" + render(provenance_table(store, arguments.experiment), arguments.format);
  return text;
}

}  // namespace

void add_report(CLI::App& app, Session&) {
  auto* command =
      app.add_subcommand("report",
                         "Print the table of an experiment from the database, or, where "
                         "none is named, which there are");
  auto arguments = std::make_shared<ReportArguments>();
  auto database = std::make_shared<DatabaseOption>();
  CLI::Option* experiment =
      command->add_option("experiment", arguments->experiment,
                          "name of an experiment, or the beginning of its key; default: list them");
  command
      ->add_option("--format", arguments->format,
                   "markdown (md), latex (a tabular for \\input), csv, text; html: a page with the "
                   "summary, plots and every run; or sql: a dump that sqlite3 reads back")
      ->check(CLI::IsMember({"markdown", "md", "latex", "csv", "text", "html", "sql"}))
      ->capture_default_str();
  command
      ->add_option("--query", arguments->query,
                   "file with a query of your own; :experiment in it is the experiment's key")
      ->needs(experiment);
  command
      ->add_option("--reference", arguments->reference,
                   "compare the other runs with the one of this label, item by item")
      ->needs(experiment)
      ->excludes("--query");
  command
      ->add_option("--against", arguments->against,
                   "test the table's values against the run of this label instead of the "
                   "unquantized one")
      ->needs(experiment)
      ->excludes("--query")
      ->excludes("--reference");
  command
      ->add_flag("--all-pairs", arguments->all_pairs,
                 "compare every two runs by the metrics that the table shows")
      ->needs(experiment)
      ->excludes("--query")
      ->excludes("--reference")
      ->excludes("--against");
  command
      ->add_flag("--verdict", arguments->verdict,
                 "say in words which method keeps safety best, by how much, and how sure that is")
      ->needs(experiment)
      ->excludes("--query")
      ->excludes("--reference")
      ->excludes("--against")
      ->excludes("--all-pairs");
  command
      ->add_flag("--provenance", arguments->provenance,
                 "add under which conditions the results were made")
      ->needs(experiment);
  command
      ->add_option(
          "--items", arguments->items,
          "with --format sql: all; first: those of the first run of each label only, which "
          "the page compares; none: metrics, curves and provenance only")
      ->check(CLI::IsMember({"all", "first", "none"}))
      ->capture_default_str()
      ->needs(experiment);
  command->add_option("--out", arguments->out, "write to this file instead of standard output");
  database->add_to(*command);
  command->footer(
      "Examples:\n"
      "  harness report\n"
      "  harness report quickstart --provenance\n"
      "  harness report quickstart --format csv --out table.csv\n"
      "  harness report quickstart --format html --out quickstart.html\n"
      "  harness report quickstart --reference \"as shipped\"\n"
      "  harness report w4a4_world --against OSTQuant\n"
      "  harness report w4a4_world --all-pairs\n"
      "  harness report w4a4_world --verdict\n"
      "  harness report quickstart --format sql | gzip > quickstart.sql.gz");
  command->callback([=] {
    write_output(report_text(*ResultStore::open_read_only(database->path), *arguments),
                 arguments->out);
  });
}

}  // namespace harness
