#include <fmt/format.h>

#include <algorithm>

#include "harness/report/markup.h"
#include "harness/report/plot.h"

namespace harness {
namespace {

constexpr const char* kMarks[kPlotShapeCount] = {"*", "square*", "triangle*", "diamond*",
                                                 "pentagon*"};

std::string categories_text(const Plot& plot, const char* axis) {
  std::string places, names;
  for (std::size_t c = 0; c < plot.categories.size(); ++c) {
    places += fmt::format("{}{}", c == 0 ? "" : ",", c);
    names += fmt::format("{}{{{}}}", c == 0 ? "" : ",", escaped_latex(plot.categories[c]));
  }
  return fmt::format(", {0}tick={{{1}}}, {0}ticklabels={{{2}}}", axis, places, names);
}

std::string axis_options(const Plot& plot, const PlotPanel& panel) {
  std::string options = fmt::format("title={{{}}}, xlabel={{{}}}", escaped_latex(panel.title),
                                    escaped_latex(panel.x_title));
  const Range x = x_range(plot, panel), y = y_range(plot, panel);
  if (names_to_the_left(plot)) {
    options += fmt::format(", xmin={:.6g}, xmax={:.6g}, ymin=-.5, ymax={}.5, y dir=reverse", y.low,
                           y.high, plot.categories.size() - 1);
    options += categories_text(plot, "y");
    if (panel.log_y) options += ", xmode=log";
    return options;
  }
  options += fmt::format(", xmin={:.6g}, xmax={:.6g}, ymin={:.6g}, ymax={:.6g}", x.low, x.high,
                         y.low, y.high);
  if (!plot.categories.empty())
    options += categories_text(plot, "x") + ", x tick label style={rotate=30, anchor=east}";
  if (panel.log_x) options += ", xmode=log";
  if (panel.log_y) options += ", ymode=log";
  return options;
}

/// Coordinates with the ends of their intervals: (x, y) +- (0, half).
std::string coordinates(const Plot& plot, const std::vector<PlotPoint>& points,
                        std::size_t series) {
  const bool left = names_to_the_left(plot);
  const double shift = shift_of(plot, series);
  std::string text;
  for (const PlotPoint& point : points) {
    const Interval& interval = point.y.interval;
    const double error = interval.known() ? (interval.high - interval.low) / 2 : 0;
    text +=
        left ? fmt::format(" ({:.8g},{:.6g}) +- ({:.4g},0)", point.y.value, point.x + shift, error)
             : fmt::format(" ({:.8g},{:.8g}) +- (0,{:.4g})", point.x, point.y.value, error);
  }
  return text;
}

std::string series_text(const Plot& plot, const PlotPanel& panel, std::size_t s) {
  const std::string color = fmt::format("harness{}", s % kPlotColorCount);
  if (plot.kind == PlotKind::stacked) {
    std::string bars;
    for (const PlotPoint& point : panel.series[s])
      bars += fmt::format(" ({:.8g},{:.6g})", point.y.value, point.x);
    return fmt::format("\\addplot[xbar stacked, fill={0}, draw={0}] coordinates {{{1}}};\n", color,
                       bars);
  }
  const bool lines = plot.kind == PlotKind::lines;
  if (lines && panel.series[s].size() > kMostMarks) {  // with intervals TeX runs out of memory
    std::string points;
    for (const PlotPoint& point : panel.series[s])
      points += fmt::format(" ({:.6g},{:.6g})", point.x, point.y.value);
    return fmt::format("\\addplot[{}, no marks] coordinates {{{}}};\n", color, points);
  }
  return fmt::format(
      "\\addplot[{}{}, mark={}, mark size=1.5pt, error bars/.cd, {} dir=both, {} explicit] "
      "coordinates {{{}}};\n",
      lines ? "" : "only marks, ", color, kMarks[s % kPlotShapeCount],
      names_to_the_left(plot) ? "x" : "y", names_to_the_left(plot) ? "x" : "y",
      coordinates(plot, panel.series[s], s));
}

}  // namespace

std::string to_pgfplots(const Plot& plot) {
  constexpr std::size_t kMostColumns = 3;
  const std::size_t columns = std::min(kMostColumns, plot.panels.size());
  std::string text = fmt::format(
      "% {}\n% Needs \\usepackage{{pgfplots}} \\usepgfplotslibrary{{groupplots}} "
      "\\pgfplotsset{{compat=1.17}}\n",
      escaped_latex(plot.title));
  for (int c = 0; c < kPlotColorCount; ++c)
    text += fmt::format("\\definecolor{{harness{}}}{{HTML}}{{{}}}\n", c, kPlotColors[c]);
  text += fmt::format(
      "\\begin{{tikzpicture}}\n\\begin{{groupplot}}[group style={{group size={} by {}, "
      "horizontal sep={}, vertical sep=1.8cm}}, width=5.6cm, height={}, "
      "tick label style={{font=\\footnotesize}}, label style={{font=\\footnotesize}}, "
      "title style={{font=\\small}}, legend style={{font=\\footnotesize}}, legend cell "
      "align=left]\n",
      columns, (plot.panels.size() + columns - 1) / columns,
      names_to_the_left(plot) ? "3.2cm" : "1.4cm",
      names_to_the_left(plot)
          ? fmt::format("{:.1f}cm", 2.2 + .4 * static_cast<double>(plot.categories.size()))
          : "4.6cm");
  for (const PlotPanel& panel : plot.panels) {
    const bool last = &panel == &plot.panels.back();
    text +=
        fmt::format("\\nextgroupplot[{}{}{}]\n", axis_options(plot, panel),
                    plot.kind == PlotKind::stacked ? ", xbar stacked, bar width=6pt" : "",
                    last && plot.series.size() > 1 ? ", legend to name=harness-" + plot.name : "");
    for (const auto& [name, level] : panel.levels)
      text += fmt::format(
          "\\draw[dashed, gray] (axis cs:{{\\pgfkeysvalueof{{/pgfplots/xmin}}}},{0:.8g}) -- "
          "(axis cs:{{\\pgfkeysvalueof{{/pgfplots/xmax}}}},{0:.8g}); % {1}\n",
          level, escaped_latex(name));
    for (std::size_t s = 0; s < panel.series.size(); ++s) {
      if (panel.series[s].empty()) continue;
      text += series_text(plot, panel, s);
      if (last && plot.series.size() > 1)
        text += fmt::format("\\addlegendentry{{{}}}\n", escaped_latex(plot.series[s]));
    }
  }
  text += "\\end{groupplot}\n\\end{tikzpicture}\n";
  if (plot.series.size() > 1) text += fmt::format("\\par\\ref{{harness-{}}}\n", plot.name);
  return text;
}

}  // namespace harness
