#include "harness/report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "harness/core/error.h"
#include "harness/core/text.h"
#include "harness/report/metric_kind.h"
#include "harness/report/named_rows.h"
#include "harness/report/queries.h"
#include "harness/report/runs.h"
#include "harness/store/lookup.h"

namespace harness {
namespace {

/// A logarithmic axis where the largest value is so many times the smallest.
constexpr double kLogarithmicRatio = 20;

enum class Metrics { all, shown, shown_safety };  // which of a query's metrics are panels

struct Definition {
  PlotName name;
  const char* sql;
  PlotKind kind;
  Metrics metrics;
  const char* x_title;
  const char* needs;  // what an experiment has to measure to have it
};

const std::vector<Definition>& definitions() {
  static const std::vector<Definition> all = {
      {{"metrics", "What was measured"},
       kPlotMetricsSql,
       PlotKind::dots,
       Metrics::shown,
       "",
       "a finished eval"},
      {{"safety_perplexity", "Safety against perplexity"},
       kPlotSafetyPerplexitySql,
       PlotKind::scatter,
       Metrics::shown_safety,
       "perplexity",
       "the eval perplexity, and one of safety, of two runs"},
      {{"ablation", "Swept numbers"},
       kPlotAblationSql,
       PlotKind::lines,
       Metrics::shown,
       "",
       "a [sweep] over two values of a number, such as methods.aaq.alpha"},
      {{"bits", "Bits"},
       kPlotBitsSql,
       PlotKind::lines,
       Metrics::shown,
       "",
       "one method in two numeric formats"},
      {{"flips", "Where answers went on which the aligned model and its base disagree"},
       kPlotFlipsSql,
       PlotKind::stacked,
       Metrics::all,
       "share",
       "the eval flips or token_flips"},
      {{"safetybench", "SafetyBench by category"},
       kPlotSafetybenchSql,
       PlotKind::dots,
       Metrics::all,
       "accuracy",
       "the eval safetybench"},
      {{"activations", "Activations before each quantizer"},
       kPlotActivationsSql,
       PlotKind::lines,
       Metrics::all,
       "layer",
       "the eval activations"},
      {{"training", "Training"},
       kPlotTrainingSql,
       PlotKind::lines,
       Metrics::all,
       "step",
       "a method or a pair that is trained"}};
  return all;
}

const Definition& definition(const std::string& name) {
  std::vector<std::string> names;
  for (const Definition& each : definitions()) {
    if (each.name.name == name) return each;
    names.push_back(each.name.name);
  }
  throw Error("plot", fmt::format("there is none of the name \"{}\"", name),
              fmt::format("one of {}", fmt::join(names, ", ")), did_you_mean(name, names));
}

/// Index of a name in a list that grows.
std::size_t index_in(std::vector<std::string>& names, const std::string& name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
  names.push_back(name);
  return names.size() - 1;
}

/// What comes together in one point.
struct Gathered {
  std::vector<Measurement> measurements;
  std::vector<double> x;
  std::vector<std::string> runs;
};
struct GatheredPanel {
  std::string metric, protocol, x_title;
  std::map<std::pair<std::size_t, double>, Gathered> points;  // by series and x
  std::map<std::string, std::vector<Measurement>> levels;
  std::vector<std::string> level_names;  // in their order
};

/// Where the file chooses no columns, what says something by itself is shown.
bool wanted(Metrics metrics, const ShownMetrics& shown, const std::string& metric) {
  const Aspect aspect = metric_kind(metric).aspect;
  return metrics == Metrics::all ||
         (shown.includes(metric) && (shown.chosen() || aspect != Aspect::other) &&
          (metrics == Metrics::shown || aspect == Aspect::safety));
}

Measurement measurement(const NamedRows& rows, std::size_t r) {
  return {rows.number(r, "y").value_or(std::nan("")), rows.number(r, "standard_error"),
          rows.integer(r, "count"), rows.text(r, "unit")};
}

std::vector<GatheredPanel> gather(const NamedRows& rows, const Definition& definition,
                                  const ShownMetrics& shown, Plot& plot) {
  std::vector<GatheredPanel> panels;
  std::map<std::tuple<std::string, std::string, std::string>, std::size_t> places;
  std::map<std::string, bool> is_wanted;
  bool named = false;  // whether x is a name in some row
  for (std::size_t r = 0; r < rows.size(); ++r)
    named = named || (rows.cell(r, "x") && !rows.numeric(r, "x"));
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const std::string metric = rows.text(r, "metric");
    auto [known, is_new] = is_wanted.emplace(metric, false);
    if (is_new) known->second = wanted(definition.metrics, shown, metric);
    if (!known->second) continue;
    const std::string protocol = rows.text(r, "protocol");
    const std::string x_title = rows.has("x_title") ? rows.text(r, "x_title") : "";
    const auto [place, opened] =
        places.emplace(std::tuple(x_title, protocol, metric), panels.size());
    if (opened) panels.push_back({metric, protocol, x_title, {}, {}, {}});
    GatheredPanel& panel = panels[place->second];
    if (!rows.cell(r, "x")) {
      const std::string name = rows.text(r, "series");
      index_in(panel.level_names, name);
      panel.levels[name].push_back(measurement(rows, r));
      continue;
    }
    const std::size_t series = index_in(plot.series, rows.text(r, "series"));
    const double x = named ? static_cast<double>(index_in(plot.categories, rows.text(r, "x")))
                           : rows.number(r, "x").value_or(std::nan(""));
    // The points of a scatter plot are its series: the runs of one have x of their own.
    Gathered& point = panel.points[{series, definition.kind == PlotKind::scatter ? 0 : x}];
    point.measurements.push_back(measurement(rows, r));
    point.x.push_back(x);
    point.runs.push_back(rows.text(r, "run_key"));
  }
  return panels;
}

/// Whether a panel shows more than single values do: a line needs two points.
bool tells(const GatheredPanel& panel, PlotKind kind) {
  if (kind == PlotKind::scatter) return panel.points.size() > 1;
  if (kind != PlotKind::lines) return !panel.points.empty();
  std::map<std::size_t, int> points;
  for (const auto& [place, point] : panel.points) ++points[place.first];
  return std::any_of(points.begin(), points.end(),
                     [](const auto& each) { return each.second > 1; });
}

bool spread_out(double low, double high) { return low > 0 && high / low > kLogarithmicRatio; }

void choose_axes(const Plot& plot, PlotPanel& panel) {
  if (plot.kind == PlotKind::stacked) return;
  double least_x = INFINITY, greatest_x = -INFINITY, least_y = INFINITY, greatest_y = -INFINITY;
  for (const auto& series : panel.series)
    for (const PlotPoint& point : series) {
      least_x = std::min(least_x, point.x), greatest_x = std::max(greatest_x, point.x);
      least_y = std::min(least_y, point.y.value), greatest_y = std::max(greatest_y, point.y.value);
    }
  panel.log_x = plot.kind == PlotKind::scatter && spread_out(least_x, greatest_x);
  panel.log_y = spread_out(least_y, greatest_y);
}

PlotPanel finished(const GatheredPanel& gathered, const Plot& plot, bool several_protocols,
                   const char* x_title) {
  PlotPanel panel;
  panel.title = gathered.metric;
  if (several_protocols) panel.title += fmt::format(" ({})", gathered.protocol);
  panel.x_title = gathered.x_title.empty() ? x_title : gathered.x_title;
  panel.series.resize(plot.series.size());
  for (const auto& [place, point] : gathered.points)
    panel.series[place.first].push_back(
        {plot.kind == PlotKind::scatter ? mean(point.x) : place.second,
         estimate(point.measurements), point.runs});
  for (const std::string& name : gathered.level_names)
    panel.levels.emplace_back(name, estimate(gathered.levels.at(name)).value);
  choose_axes(plot, panel);
  return panel;
}

}  // namespace

const std::vector<PlotName>& plot_names() {
  static const std::vector<PlotName> names = [] {
    std::vector<PlotName> all;
    for (const Definition& each : definitions()) all.push_back(each.name);
    return all;
  }();
  return names;
}

Plot read_plot(const ResultStore& store, const std::string& experiment, const std::string& name) {
  const Definition& about = definition(name);
  const ExperimentName found = find_experiment(store, experiment);
  Plot plot{about.name.name, about.name.title, about.kind, {}, {}, {}, {}};
  const auto panels = gather(NamedRows(store, about.sql, {{"experiment", found.key}}), about,
                             shown_metrics(store, found.key), plot);
  std::map<std::pair<std::string, std::string>, std::set<std::string>> protocols;
  for (const GatheredPanel& panel : panels)
    protocols[{panel.x_title, panel.metric}].insert(panel.protocol);
  bool intervals = false;
  for (const GatheredPanel& panel : panels) {
    if (!tells(panel, plot.kind)) continue;
    plot.panels.push_back(
        finished(panel, plot, protocols[{panel.x_title, panel.metric}].size() > 1, about.x_title));
    for (const auto& series : plot.panels.back().series)
      for (const PlotPoint& point : series) intervals = intervals || point.y.interval.known();
  }
  if (plot.panels.empty())
    plot.notes.push_back(fmt::format("{} needs {}", name, about.needs));
  else if (intervals && plot.kind != PlotKind::stacked)
    plot.notes.push_back(
        fmt::format("Lines and bands about values: {:.0f} % intervals", (1 - kAlpha) * 100));
  return plot;
}

std::vector<Plot> read_plots(const ResultStore& store, const std::string& experiment) {
  std::vector<Plot> plots;
  for (const PlotName& each : plot_names())
    if (Plot plot = read_plot(store, experiment, each.name); !plot.panels.empty())
      plots.push_back(std::move(plot));
  return plots;
}

std::vector<double> ticks(double low, double high, int count, bool logarithmic) {
  std::vector<double> result;
  if (logarithmic) {
    const int first = static_cast<int>(std::floor(std::log10(low)));
    const int last = static_cast<int>(std::ceil(std::log10(high)));
    const bool few = last - first <= 2;
    for (int power = first; power <= last; ++power)
      for (double factor : {1.0, 2.0, 5.0}) {
        const double tick = factor * std::pow(10.0, power);
        if ((factor == 1 || few) && tick >= low && tick <= high) result.push_back(tick);
      }
    return result;
  }
  const double rough = (high - low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = power * 10;
  for (double factor : {5.0, 2.0, 1.0})
    if (power * factor >= rough) step = power * factor;
  for (double i = std::ceil(low / step); i * step <= high; ++i)
    result.push_back(i * step + 0.0);  // never -0
  return result;
}

namespace {

/// `low` to `high` with a twentieth on each side.
Range with_room(double low, double high, bool logarithmic) {
  if (!(low <= high)) return {0, 1};
  if (logarithmic) {
    const double room = std::pow(high / low, .05);
    return {low / room, high * room};
  }
  const double room = high > low ? (high - low) * .05 : std::max(std::abs(high) * .05, .05);
  return {low - room, high + room};
}

}  // namespace

bool names_to_the_left(const Plot& plot) {
  return plot.kind == PlotKind::dots || plot.kind == PlotKind::stacked;
}

double shift_of(const Plot& plot, std::size_t series) {
  if (plot.kind != PlotKind::dots || plot.series.size() == 1) return 0;
  return .7 * (static_cast<double>(series) + .5) / static_cast<double>(plot.series.size()) - .35;
}

Range x_range(const Plot& plot, const PlotPanel& panel) {
  if (!plot.categories.empty()) return {-.5, static_cast<double>(plot.categories.size()) - .5};
  double low = INFINITY, high = -INFINITY;
  for (const auto& series : panel.series)
    for (const PlotPoint& point : series)
      low = std::min(low, point.x), high = std::max(high, point.x);
  return with_room(low, high, panel.log_x);
}

Range y_range(const Plot& plot, const PlotPanel& panel) {
  if (plot.kind == PlotKind::stacked) return {0, 1};
  double low = INFINITY, high = -INFINITY;
  auto include = [&](double value) {
    if (std::isfinite(value) && (!panel.log_y || value > 0))
      low = std::min(low, value), high = std::max(high, value);
  };
  for (const auto& series : panel.series)
    for (const PlotPoint& point : series) {
      include(point.y.value);
      include(point.y.interval.low);
      include(point.y.interval.high);
    }
  for (const auto& [name, level] : panel.levels) include(level);
  return with_room(low, high, panel.log_y);
}

}  // namespace harness
