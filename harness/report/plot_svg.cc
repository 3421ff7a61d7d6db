#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "harness/report/markup.h"
#include "harness/report/plot.h"

// The panels of an HTML page. Coordinates are pixels at the size at which a panel fits a phone.

namespace harness {
namespace {

constexpr double kWidth = 360, kLineHeight = 18, kRight = 12, kTop = 8;
constexpr double kLetter = 6.2;           // width of a letter of a tick
constexpr std::size_t kLongestName = 30;  // of a category
constexpr double kMark = 3.6;             // half the size of a mark

std::string number(double value) { return fmt::format("{:.6g}", value); }
std::string at(double pixel) { return fmt::format("{:.1f}", pixel); }

std::string shortened(const std::string& name) {
  if (name.size() <= kLongestName) return name;
  std::size_t end = kLongestName - 1;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;  // whole letters
  return name.substr(0, end) + "…";
}

/// A straight axis: values to pixels.
struct Scale {
  Range range;
  bool logarithmic = false;
  double first = 0, last = 1;  // pixels of the range's ends
  double operator()(double value) const {
    auto place = [&](double v) { return logarithmic ? std::log(v) : v; };
    return first + (last - first) * (place(value) - place(range.low)) /
                       (place(range.high) - place(range.low));
  }
  /// Inside the range: an interval may reach below a logarithmic axis.
  double inside(double value) const {
    if (logarithmic && value <= 0) value = range.low;
    return (*this)(std::clamp(value, range.low, range.high));
  }
};

std::string line(double x1, double y1, double x2, double y2, const std::string& style) {
  return fmt::format(R"(<path class="{}" d="M{} {}L{} {}"/>)", style, at(x1), at(y1), at(x2),
                     at(y2));
}

std::string text(double x, double y, const std::string& anchor, const std::string& words,
                 const std::string& more = "") {
  return fmt::format(R"(<text x="{}" y="{}" text-anchor="{}"{}>{}</text>)", at(x), at(y), anchor,
                     more, escaped_html(words));
}

std::string series_class(std::size_t series) {
  return fmt::format("s{}", series % kPlotColorCount);
}

/// Of a legend and of panels: circle, square, triangle, diamond, triangle on its head.
std::string mark(std::size_t series, double x, double y) {
  const double r = kMark;
  switch (series % kPlotShapeCount) {
    case 0:
      return fmt::format(R"(<circle cx="{}" cy="{}" r="{}"/>)", at(x), at(y), at(r));
    case 1:
      return fmt::format(R"(<path d="M{} {}h{}v{}h-{}z"/>)", at(x - r), at(y - r), at(2 * r),
                         at(2 * r), at(2 * r));
    case 2:
      return fmt::format(R"(<path d="M{} {}l{} {}h-{}z"/>)", at(x), at(y - r - 1), at(r + 1),
                         at(2 * r + 1), at(2 * r + 2));
    case 3:
      return fmt::format(R"(<path d="M{} {}l{} {}l-{} {}l-{} -{}z"/>)", at(x), at(y - r - 1),
                         at(r + 1), at(r + 1), at(r + 1), at(r + 1), at(r + 1), at(r + 1));
    default:
      return fmt::format(R"(<path d="M{} {}l{} -{}h-{}z"/>)", at(x), at(y + r + 1), at(r + 1),
                         at(2 * r + 1), at(2 * r + 2));
  }
}

/// What people read at a point.
std::string point_title(const Plot& plot, const PlotPanel& panel, std::size_t series,
                        const PlotPoint& point) {
  std::string words = plot.series[series];
  if (!plot.categories.empty())
    words += (words.empty() ? "" : ", ") + plot.categories[static_cast<std::size_t>(point.x)];
  else
    words += fmt::format("{}{} {}", words.empty() ? "" : ", ",
                         panel.x_title.empty() ? "x" : panel.x_title, number(point.x));
  return fmt::format("{}: {} {}", words, panel.title, estimate_text(point.y));
}

/// A mark with its values, linked to the first of its runs.
std::string linked(const Plot& plot, const PlotPanel& panel, std::size_t series,
                   const PlotPoint& point, const std::string& shapes) {
  return fmt::format(
      R"(<a href="#{}" tabindex="-1"><g class="point {}"><title>{}</title>{}</g></a>)",
      run_anchor(point.runs.front()), series_class(series),
      escaped_html(point_title(plot, panel, series, point)), shapes);
}

std::string opened(const Plot& plot, const PlotPanel& panel, double height) {
  return fmt::format(R"(<svg viewBox="0 0 {} {}" role="img" aria-label="{}">)", kWidth, at(height),
                     escaped_html(plot.title + ": " + panel.title));
}

/// Of a dense line each point answers the pointer, and none is seen: one link for neighbours of a
/// run.
std::string unseen_points(const Plot& plot, const PlotPanel& panel, std::size_t series,
                          const Scale& x, const Scale& y) {
  std::string svg, run;
  for (const PlotPoint& point : panel.series[series]) {
    if (run != point.runs.front()) {
      svg += fmt::format("{}<a href=\"#{}\" tabindex=\"-1\">", run.empty() ? "" : "</a>",
                         run_anchor(point.runs.front()));
      run = point.runs.front();
    }
    svg += fmt::format(
        R"(<circle class="point unseen" cx="{}" cy="{}" r="4"><title>{}</title></circle>)",
        at(x(point.x)), at(y.inside(point.y.value)),
        escaped_html(point_title(plot, panel, series, point)));
  }
  return svg + "</a>";
}

std::string lines_svg(const Plot& plot, const PlotPanel& panel) {
  constexpr double kLeft = 52;
  std::size_t longest = 0;
  for (const std::string& name : plot.categories)
    longest = std::max(longest, shortened(name).size());
  const bool slanted =
      longest * kLetter * static_cast<double>(plot.categories.size()) > kWidth - kLeft - kRight;
  const double below = 34 + (slanted ? static_cast<double>(longest) * kLetter * .6 : 0);
  const double height = 190 + below;
  const Scale x{x_range(plot, panel), panel.log_x, kLeft, kWidth - kRight};
  const Scale y{y_range(plot, panel), panel.log_y, height - below, kTop};
  std::string svg = opened(plot, panel, height);
  for (double tick : ticks(y.range.low, y.range.high, 5, panel.log_y)) {
    svg += line(kLeft, y(tick), kWidth - kRight, y(tick), "grid");
    svg += text(kLeft - 5, y(tick) + 3.5, "end", number(tick));
  }
  for (std::size_t c = 0; c < plot.categories.size(); ++c) {
    const double px = x(static_cast<double>(c)), py = height - below + 14;
    svg += slanted ? text(px, py, "end", shortened(plot.categories[c]),
                          fmt::format(" transform=\"rotate(-35 {} {})\"", at(px), at(py)))
                   : text(px, py, "middle", shortened(plot.categories[c]));
  }
  if (plot.categories.empty())
    for (double tick : ticks(x.range.low, x.range.high, 6, panel.log_x)) {
      svg += line(x(tick), kTop, x(tick), height - below, "grid");
      svg += text(x(tick), height - below + 14, "middle", number(tick));
    }
  svg += text((kLeft + kWidth - kRight) / 2, height - 4, "middle", panel.x_title);
  for (const auto& [name, level] : panel.levels) {
    svg +=
        fmt::format("<g class=\"level\"><title>{}: {}</title>", escaped_html(name), number(level));
    svg += line(kLeft, y(level), kWidth - kRight, y(level), "");
    svg += text(kWidth - kRight, y(level) - 3, "end", name) + "</g>";
  }
  const bool dense = std::any_of(panel.series.begin(), panel.series.end(),
                                 [](const auto& points) { return points.size() > kMostMarks; });
  for (std::size_t s = 0; s < panel.series.size(); ++s) {
    const auto& points = panel.series[s];
    if (points.empty()) continue;
    if (plot.kind == PlotKind::lines) {
      std::string path, upper, lower;
      for (const PlotPoint& point : points) {
        path += fmt::format("{}{} {}", path.empty() ? "M" : "L", at(x(point.x)),
                            at(y.inside(point.y.value)));
        if (!point.y.interval.known()) continue;
        upper += fmt::format("{}{} {}", upper.empty() ? "M" : "L", at(x(point.x)),
                             at(y.inside(point.y.interval.high)));
        lower = fmt::format("L{} {}", at(x(point.x)), at(y.inside(point.y.interval.low))) + lower;
      }
      if (dense && !upper.empty())
        svg += fmt::format(R"(<path class="band {}" d="{}{}z"/>)", series_class(s), upper, lower);
      svg += fmt::format(R"(<path class="line {} dash{}" d="{}"/>)", series_class(s),
                         s / kPlotColorCount % 3, path);
    }
    if (dense) {
      svg += unseen_points(plot, panel, s, x, y);
      continue;
    }
    for (const PlotPoint& point : points) {
      const double px = x(point.x), py = y.inside(point.y.value);
      std::string shapes;
      if (point.y.interval.known())
        shapes += line(px, y.inside(point.y.interval.low), px, y.inside(point.y.interval.high),
                       "whisker");
      svg += linked(plot, panel, s, point, shapes + mark(s, px, py));
    }
  }
  return svg + "</svg>";
}

/// Names to the left, values across.
std::string names_svg(const Plot& plot, const PlotPanel& panel) {
  std::size_t longest = 0;
  for (const std::string& name : plot.categories)
    longest = std::max(longest, shortened(name).size());
  const double left = std::min(150.0, 14 + kLetter * static_cast<double>(longest));
  const bool stacked = plot.kind == PlotKind::stacked;
  const double lane =
      stacked || plot.series.size() == 1
          ? kLineHeight
          : std::max(kLineHeight, 7 + 7.0 * static_cast<double>(plot.series.size()));
  const double bottom = kTop + lane * static_cast<double>(plot.categories.size());
  const double height = bottom + (panel.x_title.empty() ? 20 : 34);
  const Scale x{y_range(plot, panel), panel.log_y, left, kWidth - kRight};
  std::string svg = opened(plot, panel, height);
  for (double tick : ticks(x.range.low, x.range.high, 5, panel.log_y)) {
    svg += line(x(tick), kTop, x(tick), bottom, "grid");
    svg += text(x(tick), bottom + 14, "middle", number(tick));
  }
  svg += text((left + kWidth - kRight) / 2, height - 4, "middle", panel.x_title);
  for (std::size_t c = 0; c < plot.categories.size(); ++c)
    svg += text(left - 6, kTop + lane * (static_cast<double>(c) + .5) + 3.5, "end",
                shortened(plot.categories[c]));
  std::vector<double> filled(plot.categories.size(), 0);  // of stacked bars, so far
  for (std::size_t s = 0; s < panel.series.size(); ++s)
    for (const PlotPoint& point : panel.series[s]) {
      const double top = kTop + lane * point.x;
      if (stacked) {
        double& from = filled[static_cast<std::size_t>(point.x)];
        const double to = std::min(1.0, from + point.y.value);
        svg += linked(plot, panel, s, point,
                      fmt::format(R"(<rect x="{}" y="{}" width="{}" height="{}"/>)", at(x(from)),
                                  at(top + 3), at(x(to) - x(from)), at(lane - 6)));
        from = to;
        continue;
      }
      const double py =
          top + (plot.series.size() == 1 ? lane / 2 : 7 + 7.0 * static_cast<double>(s));
      std::string shapes;
      if (point.y.interval.known())
        shapes += line(x.inside(point.y.interval.low), py, x.inside(point.y.interval.high), py,
                       "whisker");
      svg += linked(plot, panel, s, point, shapes + mark(s, x.inside(point.y.value), py));
    }
  return svg + "</svg>";
}

}  // namespace

std::string panel_svg(const Plot& plot, const PlotPanel& panel) {
  return names_to_the_left(plot) ? names_svg(plot, panel) : lines_svg(plot, panel);
}

std::string legend_mark(const Plot& plot, std::size_t series) {
  const std::string shape = plot.kind == PlotKind::stacked
                                ? R"(<rect x="1" y="1" width="10" height="10"/>)"
                                : mark(series, 6, 6);
  return fmt::format(
      R"(<svg class="key" viewBox="0 0 12 12" aria-hidden="true"><g class="point {}">{}</g></svg>)",
      series_class(series), shape);
}

}  // namespace harness
