#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>

#include "harness/app/commands.h"
#include "harness/report/plot.h"
#include "harness/store/result_store.h"

namespace harness {

namespace {

struct PlotArguments {
  std::string experiment, name, format = "svg", out = ".";
  bool list = false;
};

/// The file of one plot: EXPERIMENT_NAME.svg, .pdf or .tex.
void draw(const Plot& plot, const PlotArguments& arguments) {
  const std::string ending = arguments.format == "pgfplots" ? "tex" : arguments.format;
  const auto path = std::filesystem::path(arguments.out) /
                    fmt::format("{}_{}.{}", arguments.experiment, plot.name, ending);
  std::error_code ignored;  // what cannot be made is said where the file cannot be written
  std::filesystem::create_directories(arguments.out, ignored);
  if (arguments.format == "pgfplots")
    write_output(to_pgfplots(plot), path.string());
  else
    draw_with_gnuplot(plot, arguments.format == "pdf" ? "pdfcairo" : "svg", path.string());
  std::cout << path.string() << "\n";
}

}  // namespace

void add_plot(CLI::App& app, Session&) {
  auto* command = app.add_subcommand("plot", "Draw the plots of an experiment from the database");
  auto arguments = std::make_shared<PlotArguments>();
  auto database = std::make_shared<DatabaseOption>();
  command
      ->add_option("experiment", arguments->experiment,
                   "name of an experiment, or the beginning of its key")
      ->required();
  command->add_option("name", arguments->name, "of one plot (--list); default: all there are");
  command
      ->add_option("--format", arguments->format,
                   "svg or pdf, which need gnuplot, or pgfplots: LaTeX source")
      ->check(CLI::IsMember({"svg", "pdf", "pgfplots"}))
      ->capture_default_str();
  command->add_option("--out", arguments->out, "folder to write to")->capture_default_str();
  command->add_flag("--list", arguments->list,
                    "name the plots, and what the experiment lacks for those it has not");
  database->add_to(*command);
  command->footer(
      "Examples:\n"
      "  harness plot quickstart --list\n"
      "  harness plot quickstart --out plots\n"
      "  harness plot quickstart metrics --format pgfplots --out paper");
  command->callback([=] {
    const auto store = ResultStore::open_read_only(database->path);
    if (!arguments->name.empty()) {
      const Plot plot = read_plot(*store, arguments->experiment, arguments->name);
      if (plot.panels.empty())
        throw Error(arguments->experiment, "there is nothing to draw: " + plot.notes.front());
      draw(plot, *arguments);
      return;
    }
    for (const PlotName& each : plot_names()) {
      const Plot plot = read_plot(*store, arguments->experiment, each.name);
      if (arguments->list)
        fmt::print("{:<18} {}\n", each.name, plot.panels.empty() ? plot.notes.front() : each.title);
      else if (!plot.panels.empty())
        draw(plot, *arguments);
    }
  });
}

}  // namespace harness
