#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "harness/core/error.h"
#include "harness/report/plot.h"

namespace harness {
namespace {

constexpr int kPanelWidth = 380, kPanelHeight = 250;  // pixels; of PDF a hundredth of an inch
constexpr int kCategoryHeight = 18, kLegendHeight = 18, kMostColumns = 3;
constexpr int kShapes[kPlotShapeCount] = {7, 5, 9, 13, 11};
constexpr const char* kLevelStyle = "with lines dt 2 lc rgb '#57606a'";

/// A panel of its own says what series and levels are called; else a level's name stands beside it.
bool has_legend(const Plot& plot) { return plot.series.size() > 1; }

/// In single quotes gnuplot takes everything as it is.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (char c : text) {
    if (c == '\'') result += '\'';
    result += c == '\n' ? ' ' : c;
  }
  return result + "'";
}

std::string color(std::size_t series) {
  return fmt::format("lc rgb '#{}'", kPlotColors[series % kPlotColorCount]);
}
int shape(std::size_t series) { return kShapes[series % kPlotShapeCount]; }

/// Sorted as they are, a value without an interval with one of no width.
std::string points_text(const std::vector<PlotPoint>& points, double shift) {
  std::string text;
  for (const PlotPoint& point : points) {
    const bool known = point.y.interval.known();
    text += fmt::format("{:.10g} {:.10g} {:.10g} {:.10g}\n", point.x + shift, point.y.value,
                        known ? point.y.interval.low : point.y.value,
                        known ? point.y.interval.high : point.y.value);
  }
  return text;
}

/// Names of categories along an axis.
std::string category_ticks(const Plot& plot) {
  std::string text;
  for (std::size_t c = 0; c < plot.categories.size(); ++c)
    text += fmt::format("{}{} {}", c == 0 ? "" : ", ", quoted(plot.categories[c]), c);
  return text;
}

std::string range_text(const Range& range) {
  return fmt::format("[{:.10g}:{:.10g}]", range.low, range.high);
}

std::string series_command(const Plot& plot, std::size_t panel, std::size_t series,
                           std::size_t points) {
  const std::string data = fmt::format("$p{}s{}", panel, series);
  const std::string mark = fmt::format("pt {} ps 0.7 {} notitle", shape(series), color(series));
  switch (plot.kind) {
    case PlotKind::dots:
      return fmt::format("{} using 2:1:3:4 with xerrorbars {}", data, mark);
    case PlotKind::stacked:  // its columns are the ends of the bars
      return fmt::format("{} using 2:1:3:4:($1-.35):($1+.35) with boxxyerror fs solid {} notitle",
                         data, color(series));
    case PlotKind::scatter:
      return fmt::format("{} using 1:2:3:4 with yerrorbars {}", data, mark);
    case PlotKind::lines:
      break;
  }
  const std::string line = fmt::format("{} using 1:2 with lines lw 1.5 dt {} {} notitle", data,
                                       series / kPlotColorCount + 1, color(series));
  if (points > kMostMarks)
    return fmt::format("{} using 1:3:4 with filledcurves fs transparent solid 0.2 {} notitle, {}",
                       data, color(series), line);
  return fmt::format("{}, {} using 1:2:3:4 with yerrorbars {}", line, data, mark);
}

std::string panel_commands(const Plot& plot, std::size_t index) {
  const PlotPanel& panel = plot.panels[index];
  std::string text;
  std::vector<double> filled(plot.categories.size(), 0);  // of stacked bars, so far
  for (std::size_t s = 0; s < panel.series.size(); ++s) {
    text += fmt::format("$p{}s{} << END\n", index, s);
    if (plot.kind == PlotKind::stacked)
      for (const PlotPoint& point : panel.series[s]) {
        double& from = filled[static_cast<std::size_t>(point.x)];
        text += fmt::format("{:.10g} {:.10g} {:.10g} {:.10g}\n", point.x, from + point.y.value / 2,
                            from, from + point.y.value);
        from += point.y.value;
      }
    else
      text += points_text(panel.series[s], shift_of(plot, s));
    text += "END\n";
  }
  const Range x = x_range(plot, panel), y = y_range(plot, panel);
  text += fmt::format("set title {}\n", quoted(panel.title));
  text += fmt::format("set xlabel {}\n", quoted(panel.x_title));
  text += "unset logscale\nset xtics auto norotate\nset ytics auto\n";
  if (names_to_the_left(plot)) {
    text += fmt::format(
        "set xrange {}\nset xtics rotate by -30\nset yrange [{}.5:-.5]\nset ytics ({})\n",
        range_text(y), plot.categories.size() - 1, category_ticks(plot));
    if (panel.log_y) text += "set logscale x\n";
  } else {
    text += fmt::format("set xrange {}\nset yrange {}\n", range_text(x), range_text(y));
    if (!plot.categories.empty())
      text += fmt::format("set xtics rotate by -30 ({})\n", category_ticks(plot));
    if (panel.log_x) text += "set logscale x\n";
    if (panel.log_y) text += "set logscale y\n";
  }
  std::vector<std::string> commands;
  for (const auto& [name, level] : panel.levels)
    commands.push_back(
        fmt::format("{:.10g} {} {}", level, kLevelStyle,
                    has_legend(plot) ? "notitle" : fmt::format("title {}", quoted(name))));
  for (std::size_t s = 0; s < panel.series.size(); ++s)
    if (!panel.series[s].empty())
      commands.push_back(series_command(plot, index, s, panel.series[s].size()));
  return text + fmt::format("plot {}\n", fmt::join(commands, ", "));
}

/// An empty panel with the names of all series and levels.
std::string legend_commands(const Plot& plot) {
  std::vector<std::string> commands;
  std::set<std::string> levels;
  for (const PlotPanel& panel : plot.panels)
    for (const auto& [name, level] : panel.levels)
      if (levels.insert(name).second)
        commands.push_back(fmt::format("NaN {} title {}", kLevelStyle, quoted(name)));
  for (std::size_t s = 0; s < plot.series.size(); ++s) {
    const std::string style =
        plot.kind == PlotKind::stacked ? "boxes fs solid"
        : plot.kind == PlotKind::lines
            ? fmt::format("linespoints lw 1.5 dt {} pt {}", s / kPlotColorCount + 1, shape(s))
            : fmt::format("points pt {}", shape(s));
    commands.push_back(
        fmt::format("NaN with {} {} title {}", style, color(s), quoted(plot.series[s])));
  }
  return fmt::format(
      "unset title\nunset xlabel\nunset tics\nunset border\nunset grid\nunset logscale\n"
      "set xrange [0:1]\nset yrange [0:1]\nset key center left reverse Left\nplot {}\n",
      fmt::join(commands, ", "));
}

int panel_height(const Plot& plot) {
  int height = kPanelHeight;
  if (names_to_the_left(plot)) {
    const int lanes = static_cast<int>(plot.categories.size());
    const int each =
        plot.kind == PlotKind::stacked ? 1 : static_cast<int>((plot.series.size() + 1) / 2);
    height = std::max(150, 80 + kCategoryHeight * lanes * each);
  }
  if (has_legend(plot))
    height = std::max(height, 20 + kLegendHeight * static_cast<int>(plot.series.size()));
  return height;
}

}  // namespace

std::string gnuplot_script(const Plot& plot, const std::string& terminal, const std::string& out) {
  const int cells = static_cast<int>(plot.panels.size()) + has_legend(plot);
  const int columns = std::min(kMostColumns, cells), rows = (cells + columns - 1) / columns;
  const int width = columns * kPanelWidth, height = rows * panel_height(plot);
  std::string text =
      terminal == "svg"
          ? fmt::format(
                "set terminal svg size {},{} noenhanced font 'sans-serif,12' "
                "background '#ffffff'\n",
                width, height)
          : fmt::format("set terminal {} size {}in,{}in noenhanced font 'sans-serif,10'\n",
                        terminal, width / 100.0, height / 100.0);
  // One locale and one encoding: the same bytes everywhere.
  text += fmt::format("set encoding utf8\nset decimalsign '.'\nset output {}\n", quoted(out));
  text += fmt::format("set multiplot layout {},{}\n", rows, columns);
  text +=
      "set border 3 lc rgb '#57606a'\nset tics nomirror\nset grid lc rgb '#d0d7de'\n"
      "set bars small\nset boxwidth 1\nset key top right\n";
  for (std::size_t p = 0; p < plot.panels.size(); ++p) text += panel_commands(plot, p);
  if (has_legend(plot)) text += legend_commands(plot);
  return text + "unset multiplot\nunset output\n";
}

void draw_with_gnuplot(const Plot& plot, const std::string& terminal, const std::string& out) {
  if (std::system("command -v gnuplot >/dev/null 2>&1") != 0)
    throw Error(out, "plots are drawn by the program gnuplot, which is not installed", "",
                "apt-get install --no-install-recommends gnuplot-nox; or take --format pgfplots, "
                "or harness report --format html, which need no program");
  const std::string script = gnuplot_script(plot, terminal, out);
  const int file = memfd_create("gnuplot script", 0);  // no name on disk, seen by the child
  const bool written =
      file >= 0 && write(file, script.data(), script.size()) == static_cast<ssize_t>(script.size());
  const int status = written ? std::system(fmt::format("gnuplot /dev/fd/{}", file).c_str()) : -1;
  if (file >= 0) close(file);
  if (status != 0)
    throw Error(out, "gnuplot could not draw it: see its message above", "",
                "is the folder there, and can it be written?");
}

}  // namespace harness
