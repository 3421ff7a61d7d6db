#pragma once

#include <string>
#include <vector>

#include "harness/report/estimate.h"
#include "harness/store/result_store.h"

namespace harness {

enum class PlotKind {
  lines,    // y against a number, or against categories in their order
  scatter,  // one point a series
  dots,     // a category a line, its values across: names stay readable
  stacked,  // a category a line, its shares side by side
};

struct PlotPoint {
  double x = 0;  // where the plot has categories, the index of one
  Estimate y;
  std::vector<std::string> runs;  // keys of the runs behind it
};
struct PlotPanel {
  std::string title, x_title;
  std::vector<std::vector<PlotPoint>> series;          // as Plot::series
  std::vector<std::pair<std::string, double>> levels;  // lines across, by name
  bool log_x = false, log_y = false;
};
/// A figure: panels of one kind that share their series.
struct Plot {
  std::string name, title;
  PlotKind kind = PlotKind::lines;
  std::vector<std::string> series;      // one unnamed where there is nothing to tell apart
  std::vector<std::string> categories;  // empty: x is a number
  std::vector<PlotPanel> panels;
  std::vector<std::string> notes;
};

/// What there is a query for, and what it shows.
struct PlotName {
  std::string name, title;
};
const std::vector<PlotName>& plot_names();

/// A plot of an experiment from results/queries/plot_NAME.sql. Without a panel: the experiment has
/// not measured what it shows, and a note says what is missing.
/// @throws Error that lists the names where there is no such plot
Plot read_plot(const ResultStore& store, const std::string& experiment, const std::string& name);

/// Every plot that has something to show.
std::vector<Plot> read_plots(const ResultStore& store, const std::string& experiment);

// What renderers share.

/// Colours (RRGGBB) that people with any colour vision tell apart: Okabe and Ito 2008. Shapes of
/// marks differ too. Series n has number n modulo the count.
inline constexpr const char* kPlotColors[] = {"0072B2", "D55E00", "009E73", "CC79A7",
                                              "E69F00", "56B4E9", "000000"};
inline constexpr int kPlotColorCount = 7, kPlotShapeCount = 5;

/// A line of more points is drawn without marks and with a band, or none, for its intervals.
inline constexpr std::size_t kMostMarks = 24;

/// Where an axis from `low` to `high` has its numbers: 1, 2 or 5 times powers of ten, about
/// `count` of them; of a logarithmic axis powers of ten, or 1, 2 and 5 of each.
std::vector<double> ticks(double low, double high, int count, bool logarithmic = false);

/// The ends of an axis.
struct Range {
  double low = 0, high = 1;
};
/// Whether categories are lines with their names to the left, and values go across.
bool names_to_the_left(const Plot& plot);
/// How far from its category's line a series of dots lies, in parts of the distance of lines.
double shift_of(const Plot& plot, std::size_t series);
/// A panel's values, with their intervals and levels, and a little room.
Range x_range(const Plot& plot, const PlotPanel& panel);
Range y_range(const Plot& plot, const PlotPanel& panel);

/// The plot as commands of gnuplot: data included, one page for all panels.
/// @param terminal  "svg" or "pdfcairo"
/// @param out       the file that gnuplot writes
std::string gnuplot_script(const Plot& plot, const std::string& terminal, const std::string& out);

/// Draws a plot by the program gnuplot.
/// @throws Error where it is not installed, or fails
void draw_with_gnuplot(const Plot& plot, const std::string& terminal, const std::string& out);

/// The plot as LaTeX source of pgfplots' groupplots, for \input; its first lines say what the
/// document needs.
std::string to_pgfplots(const Plot& plot);

/// One panel as an SVG element for an HTML page, in the page's colours (classes s0, s1, ...;
/// harness/report/page.css), values in titles that browsers show on hover, points linked to their
/// runs (run_anchor).
std::string panel_svg(const Plot& plot, const PlotPanel& panel);
/// The mark of a series, for the legend above the panels.
std::string legend_mark(const Plot& plot, std::size_t series);

}  // namespace harness
