#include "harness/report/html_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "harness/core/text.h"
#include "harness/report/comparison.h"
#include "harness/report/html_runs.h"
#include "harness/report/main_table.h"
#include "harness/report/markup.h"
#include "harness/report/metric_kind.h"
#include "harness/report/named_rows.h"
#include "harness/report/plot.h"
#include "harness/report/runs.h"
#include "harness/report/verdict.h"
#include "harness/store/lookup.h"

namespace harness {
namespace {

constexpr std::size_t kFilterFrom = 20;        // rows of a table that gets a field to filter it
constexpr std::size_t kMostComparedRows = 16;  // labels whose changed items are shown

/// `page` with each {{name}} replaced; what is put in is not looked at again.
std::string filled(std::string_view page, const std::map<std::string, std::string>& parts) {
  std::string result;
  for (std::size_t at; (at = page.find("{{")) != std::string_view::npos;) {
    const std::size_t end = page.find("}}", at);
    result += page.substr(0, at);
    result += parts.at(std::string(page.substr(at + 2, end - at - 2)));
    page.remove_prefix(end + 2);
  }
  return result.append(page);
}

std::string section(const std::string& id, const std::string& title, const std::string& content) {
  return fmt::format(
      "<section id=\"{0}\" aria-labelledby=\"{0}-title\">\n"
      "<h2 id=\"{0}-title\">{1}</h2>\n{2}</section>\n",
      id, escaped_html(title), content);
}

std::string notes_html(const std::vector<std::string>& notes) {
  std::string html;
  for (const std::string& note : notes) html += "<li>" + escaped_html(note) + "</li>\n";
  return html.empty() ? "" : "<ul class=\"note\">\n" + html + "</ul>\n";
}

std::string arrow(std::optional<bool> higher_is_better) {
  return !higher_is_better ? "" : *higher_is_better ? " ↑" : " ↓";
}

/// The heading rows: groups where there are any, then titles with a button that sorts.
std::string headings_html(const Table& table, const std::vector<std::size_t>& shown) {
  std::string groups;
  bool grouped = false;
  for (std::size_t i = 0; i < shown.size();) {
    const std::string& group = table.columns[shown[i]].group;
    std::size_t end = i + 1;
    while (end < shown.size() && table.columns[shown[end]].group == group) ++end;
    grouped = grouped || !group.empty();
    groups += group.empty() ? fmt::format("<td colspan=\"{}\"></td>", end - i)
                            : fmt::format("<th scope=\"colgroup\" colspan=\"{}\">{}</th>", end - i,
                                          escaped_html(group));
    i = end;
  }
  std::string titles;
  for (std::size_t c : shown) {
    const Column& column = table.columns[c];
    const MetricKind kind = metric_kind(column.title);
    titles += fmt::format(
        "<th scope=\"col\" aria-sort=\"none\"{}{}><button type=\"button\">{}{}</button></th>",
        column.alignment == Alignment::right ? " class=\"number\"" : "",
        kind.meaning.empty() ? "" : fmt::format(" title=\"{}\"", escaped_html(kind.meaning)),
        escaped_html(column.title), arrow(kind.higher_is_better));
  }
  return fmt::format("<thead>\n{}<tr>{}</tr>\n</thead>\n",
                     grouped ? "<tr class=\"groups\">" + groups + "</tr>\n" : "", titles);
}

/// What the details of a cell say: "0.98046875; standard error 0.003; items 1536".
std::string details_text(const Cell& cell) {
  std::string text = cell.exact.value_or("");
  for (const auto& [name, value] : cell.details)
    if (!value.empty()) text += fmt::format("{}{} {}", text.empty() ? "" : "; ", name, value);
  return text;
}

std::string cell_html(const Cell& cell, bool first, bool numeric, const std::string& link) {
  constexpr std::size_t kWide = 48;
  std::string content = escaped_html(marked_text(cell));
  if (!link.empty() && (first || numeric) && cell.exact != std::optional<std::string>(""))
    content = fmt::format(
        "<a href=\"#{}\"{}>{}</a>", link,
        numeric ? fmt::format(" title=\"{}\"", escaped_html(details_text(cell))) : "", content);
  if (first) return fmt::format("<th scope=\"row\">{}</th>", content);
  if (!numeric)
    return fmt::format("<td{}>{}</td>", cell.text.size() > kWide ? " class=\"wide\"" : "", content);
  return fmt::format("<td class=\"number\" data-value=\"{}\">{}</td>",
                     escaped_html(cell.exact.value_or(cell.text)), content);
}

/// A table that people sort.
/// @param links  of each row where its numbers lead to; empty: nowhere
std::string table_html(const Table& table, const std::string& id, const std::string& caption,
                       const std::vector<std::string>& links = {}) {
  const std::vector<std::size_t> shown = shown_columns(table);
  std::string html;
  if (table.rows.size() >= kFilterFrom)
    html += fmt::format(
        "<p class=\"filter\"><label>Rows with <input type=\"search\" "
        "data-table=\"{}\"></label></p>\n",
        id);
  html += fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\">"
      "<table class=\"sortable\" id=\"{1}\">\n<caption>{0}</caption>\n",
      escaped_html(caption), id);
  html += headings_html(table, shown) + "<tbody>\n";
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    html += "<tr>";
    for (std::size_t c : shown)
      html +=
          cell_html(table.rows[r][c], c == shown.front(),
                    table.columns[c].alignment == Alignment::right, links.empty() ? "" : links[r]);
    html += "</tr>\n";
  }
  return html + "</tbody>\n</table></div>\n" + notes_html(table.notes);
}

// ---- The parts of the page

std::string lead_text(const NamedRows& stages, std::size_t rows) {
  std::set<std::string> runs, models, metrics;
  std::string first, last;
  std::map<std::string, double> items;  // of each attempt
  for (std::size_t r = 0; r < stages.size(); ++r) {
    runs.insert(stages.text(r, "run_key"));
    models.insert(stages.text(r, "model"));
    const std::string begun = stages.text(r, "started_at"), ended = stages.text(r, "ended_at");
    if (!begun.empty() && (first.empty() || begun < first)) first = begun;
    last = std::max(last, ended);
    if (stages.text(r, "kind") != "eval" || !stages.cell(r, "metric")) continue;
    metrics.insert(stages.text(r, "metric"));
    double& most = items[stages.text(r, "attempt")];
    most = std::max(most, stages.number(r, "count").value_or(0));
  }
  double scored = 0;
  for (const auto& [attempt, count] : items) scored += count;
  auto counted = [](std::size_t count, const char* what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
  };
  constexpr std::size_t kDate = 10;
  return fmt::format("{}, {} of {}; {} on {:.0f} scored items. Measured {} to {}.",
                     counted(rows, "row"), counted(runs.size(), "run"),
                     counted(models.size(), "model"), counted(metrics.size(), "metric"), scored,
                     first.empty() ? "?" : first.substr(0, kDate),
                     last.empty() ? "?" : last.substr(0, kDate));
}

Cell estimate_cell(const Arm& arm) {
  const std::string text = estimate_text(arm.estimate);
  return {.text = text.substr(0, text.rfind(", ")),
          .exact = shortest(arm.estimate.value),
          .details = {{"over", arm.estimate.over}}};
}

std::string verdicts_table(const std::vector<SafetyVerdict>& verdicts) {
  const Alignment right = Alignment::right;
  const Cell nothing{.text = "–", .exact = ""};
  std::set<std::string> models;
  for (const SafetyVerdict& verdict : verdicts) models.insert(verdict.model);
  Table table;
  table.columns = {{.title = "metric"},
                   {.title = "model", .machine_only = models.size() == 1},
                   {.title = "format"},
                   {.title = "unquantized", .alignment = right},
                   {.title = "best"},
                   {.title = "its value", .alignment = right},
                   {.title = "next"},
                   {.title = "lead", .alignment = right},
                   {.title = "p", .alignment = right},
                   {.title = "behind the best beyond noise"},
                   {.title = "not told apart from it"}};
  auto list = [](const std::vector<std::string>& labels) {
    return Cell{.text = labels.empty() ? "–" : fmt::format("{}", fmt::join(labels, ", "))};
  };
  std::vector<std::string> links;
  for (const SafetyVerdict& verdict : verdicts) {
    std::vector<Cell> row = {
        {.text = verdict.name.metric + arrow(verdict.higher_is_better)},
        {.text = verdict.model},
        {.text = verdict.format.empty() ? "several" : verdict.format},
        verdict.unquantized ? estimate_cell(*verdict.unquantized) : nothing,
        {.text = verdict.arms.front().label},
        estimate_cell(verdict.arms.front()),
        verdict.arms.size() > 1 ? Cell{.text = verdict.arms[1].label} : nothing};
    if (verdict.lead) {
      const double p = verdict.lead->p();
      row.push_back({.text = difference_text(*verdict.lead),
                     .exact = shortest(verdict.lead->difference()),
                     .details = {{"test", verdict.lead->test()}}});
      row.push_back({.text = format_p(p), .exact = shortest(p)});
    } else {
      row.insert(row.end(), {nothing, nothing});
    }
    row.push_back(list(verdict.worse()));
    row.push_back(list(verdict.others()));
    table.rows.push_back(std::move(row));
    links.push_back(run_anchor(verdict.arms.front().runs.front()));
  }
  table.notes = {
      fmt::format(
          "In brackets: {:.0f} % intervals. p: two-sided, of no difference between the best "
          "and the next. Behind the best: p below {} after Holm's adjustment for the "
          "comparisons of that line.",
          kConfidence * 100, kAlpha),
      "The best is chosen by looking at the same numbers, so its lead is, on average, flattered."};
  return table_html(table, "verdicts", "Metrics of safety, one by one", links);
}

/// The first metric of safety for each model and format in words, all of them in a table.
std::string summary_html(const std::vector<SafetyVerdict>& verdicts,
                         const std::vector<RowRuns>& rows) {
  std::string html;
  const auto unfinished = std::count_if(
      rows.begin(), rows.end(), [](const RowRuns& row) { return !row.front()->succeeded(); });
  if (unfinished > 0)
    html +=
        fmt::format("<p><strong>{} of {} rows did not succeed</strong>; the table says why.</p>\n",
                    unfinished, rows.size());
  if (verdicts.empty())
    return html +
           "<p>No quantized run of this experiment has a metric of safety, so nothing can "
           "be said of which method keeps safety best.</p>\n";
  html += "<p>Which method keeps safety best, by how much, and how sure is that?</p>\n";
  for (const Summary& summary : summaries(verdicts)) {
    const SafetyVerdict& verdict = *summary.verdict;
    html += fmt::format(
        "<div class=\"verdict\"><strong class=\"{}\">{}</strong>\n"
        "<p>{}, {}, by <em>{}</em> ({}).</p>\n<p>{}</p></div>\n",
        summary.keeps_best ? "told" : "untold", escaped_html(summary.title),
        escaped_html(verdict.model),
        verdict.format.empty() ? "several formats" : escaped_html(verdict.format),
        escaped_html(verdict.name.metric), escaped_html(metric_kind(verdict.name.metric).meaning),
        escaped_html(summary.text));
  }
  return html + verdicts_table(verdicts);
}

/// The numbers of a plot, for those who do not see it.
std::string values_html(const Plot& plot) {
  std::size_t points = 0;
  for (const PlotPanel& panel : plot.panels)
    for (const auto& series : panel.series) points += series.size();
  constexpr std::size_t kMost = 400;
  if (points > kMost) return "";
  Table table;
  table.columns = {{.title = "panel"},
                   {.title = "series", .machine_only = plot.series.size() == 1},
                   {.title = "at"},
                   {.title = "value", .alignment = Alignment::right}};
  std::vector<std::string> links;
  for (const PlotPanel& panel : plot.panels)
    for (std::size_t s = 0; s < panel.series.size(); ++s)
      for (const PlotPoint& point : panel.series[s]) {
        table.rows.push_back(
            {{.text = panel.title},
             {.text = plot.series[s]},
             {.text = plot.categories.empty() ? fmt::format("{} {:.6g}", panel.x_title, point.x)
                                              : plot.categories[static_cast<std::size_t>(point.x)]},
             {.text = estimate_text(point.y), .exact = shortest(point.y.value)}});
        links.push_back(run_anchor(point.runs.front()));
      }
  return "<details class=\"values\"><summary>Values</summary>\n" +
         table_html(table, "values-" + plot.name, plot.title + ": values", links) + "</details>\n";
}

std::string figure_html(const Plot& plot) {
  std::string html =
      fmt::format("<figure id=\"plot-{}\">\n<h3>{}</h3>\n", plot.name, escaped_html(plot.title));
  if (plot.series.size() > 1) {
    html += "<ul class=\"legend\">";
    for (std::size_t s = 0; s < plot.series.size(); ++s)
      html += fmt::format("<li>{}{}</li>", legend_mark(plot, s), escaped_html(plot.series[s]));
    html += "</ul>\n";
  }
  html += "<div class=\"panels\">\n";
  for (const PlotPanel& panel : plot.panels) {
    // A title may have the protocol in brackets behind the metric.
    const MetricKind kind = metric_kind(panel.title.substr(0, panel.title.find(" (")));
    html += fmt::format(
        "<div class=\"panel\"><h4{}>{}{}</h4>{}</div>\n",
        kind.meaning.empty() ? "" : fmt::format(" title=\"{}\"", escaped_html(kind.meaning)),
        escaped_html(panel.title), arrow(kind.higher_is_better), panel_svg(plot, panel));
  }
  html += "</div>\n";
  for (const std::string& note : plot.notes)
    html += "<figcaption class=\"note\">" + escaped_html(note) + "</figcaption>\n";
  return html + values_html(plot) + "</figure>\n";
}

/// "1 to 0" of 0/1 scores.
std::string changes_text(const std::vector<ChangedItem>& items) {
  constexpr std::size_t kShown = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(kShown, items.size()); ++i) {
    std::string about = items[i].part;
    if (!items[i].cluster.empty()) about += (about.empty() ? "" : ", ") + items[i].cluster;
    text += fmt::format("{}{}{}: {} → {}", text.empty() ? "" : "; ", items[i].id,
                        about.empty() ? "" : " (" + about + ")", items[i].before, items[i].after);
  }
  return text;
}

std::string flips_text(const NamedRows& items) {
  std::string text;
  for (std::size_t r = 0; r < items.size(); ++r) {
    const std::string cluster = items.text(r, "cluster");
    text += fmt::format("{}{}{}: option {} → {}", text.empty() ? "" : "; ", items.text(r, "id"),
                        cluster.empty() ? "" : " (" + cluster + ")", items.text(r, "aligned"),
                        items.text(r, "choice"));
  }
  return text;
}

/// The unquantized run of the same model, of the same seed where there is one.
const StoredRun* reference_of(const StoredRun& run, const std::vector<StoredRun>& runs) {
  const StoredRun* found = nullptr;
  for (const StoredRun& other : runs)
    if (unquantized({&other}) && other.model == run.model && (!found || other.seed == run.seed))
      found = &other;
  return found;
}

/// Attempts at evals of a run, by protocol, in the order of their protocols.
std::map<std::string, const Measured*> evals_of(const StoredRun& run) {
  std::map<std::string, const Measured*> evals;
  for (const auto& [name, measured] : run.metrics) evals.emplace(name.protocol, &measured);
  return evals;
}

bool yes_or_no(const std::vector<ChangedItem>& items) {
  return std::all_of(items.begin(), items.end(), [](const ChangedItem& item) {
    return (item.before == 0 || item.before == 1) && (item.after == 0 || item.after == 1);
  });
}

std::string changes_html(const ResultStore& store, const std::vector<StoredRun>& runs) {
  Table table;
  table.columns = {{.title = "run"},
                   {.title = "eval"},
                   {.title = "what changed"},
                   {.title = "items", .alignment = Alignment::right},
                   {.title = "the first of them"}};
  std::vector<std::string> links;
  auto add = [&](const StoredRun& run, const std::string& protocol, const std::string& what,
                 const std::string& count, const std::string& examples) {
    table.rows.push_back({{.text = run.label},
                          {.text = protocol},
                          {.text = what},
                          {.text = count},
                          {.text = examples}});
    links.push_back(run_anchor(run.key));
  };
  ItemCache reader(store);
  std::set<std::string> labels;
  for (const StoredRun& run : runs) {
    if (unquantized({&run}) || labels.size() >= kMostComparedRows) continue;
    if (run.metrics.empty() || !labels.insert(run.label).second) continue;
    const StoredRun* reference = reference_of(run, runs);
    const auto before = reference ? evals_of(*reference) : std::map<std::string, const Measured*>();
    for (const auto& [protocol, measured] : evals_of(run)) {
      if (measured->eval == "flips") {
        const NamedRows items(store, kFlippedItemsSql, {{"attempt", measured->attempt}});
        if (items.size() > 0)
          add(run, protocol, "moved to the base's answer", items.text(0, "changed"),
              flips_text(items));
        continue;
      }
      const auto same = before.find(protocol);
      if (same == before.end() || same->second->attempt == measured->attempt) continue;
      const auto items =
          changed_items(reader.items(same->second->attempt), reader.items(measured->attempt));
      if (items.empty() || !yes_or_no(items)) continue;
      const auto lost = std::count_if(items.begin(), items.end(),
                                      [](const ChangedItem& item) { return item.before == 1; });
      add(run, protocol,
          fmt::format("{} from 1 to 0, {} from 0 to 1", lost,
                      static_cast<std::int64_t>(items.size()) - lost),
          std::to_string(items.size()), changes_text(items));
    }
  }
  if (table.rows.empty()) return "";
  return "<p>Answers that quantization changed, of the first run of each label against the "
         "unquantized run of the same model: by the item's id (and what it belongs to). An item's "
         "score is 1 where the answer is what the metric counts. Texts of items stay in their data "
         "sets, and what models wrote to prompts is never shown. All that changed between two "
         "runs: <code>harness compare A B --items 1000</code>.</p>\n" +
         table_html(table, "changed", "Items that changed", links);
}

std::string published_html(const ResultStore& store, const std::string& key) {
  const NamedRows rows(store, kPublishedSql, {{"experiment", key}, {"published", kPublishedCsv}});
  Table table;
  table.columns = {{.title = "model"},
                   {.title = "setting"},
                   {.title = "method"},
                   {.title = "measure"},
                   {.title = "published", .alignment = Alignment::right},
                   {.title = "ours", .alignment = Alignment::right},
                   {.title = "our protocol"},
                   {.title = "source"}};
  std::vector<std::string> links;
  bool ours = false;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const std::optional<double> value = rows.number(r, "ours");
    ours = ours || value;
    table.rows.push_back({{.text = rows.text(r, "model")},
                          {.text = rows.text(r, "setting")},
                          {.text = rows.text(r, "method")},
                          {.text = rows.text(r, "metric")},
                          {.text = rows.text(r, "published")},
                          value ? Cell{.text = format_measured(*value), .exact = shortest(*value)}
                                : Cell{.text = "–", .exact = ""},
                          {.text = rows.cell(r, "protocol").value_or("–")},
                          {.text = rows.text(r, "source")}});
    links.push_back(rows.cell(r, "run_key") ? run_anchor(rows.text(r, "run_key")) : "");
  }
  return fmt::format("<p>{}</p>\n",
                     ours ? "What others have published of these models and formats, beside what "
                            "was measured here. Accuracies in percent."
                          : "Nothing is published of these models. What the AAQ paper reports of "
                            "its own is here for orientation: other models and measures, so it "
                            "compares with no number of this page.") +
         table_html(table, "published-values", "Published values", links);
}

std::string conditions_html(const ResultStore& store, const std::string& key,
                            const Conditions& conditions) {
  std::string html =
      table_html(provenance_table(store, key), "provenance", "What results were made with");
  if (conditions.texts.empty()) return html;
  html += "<p>Where attempts differ, they were made with one of these:</p>\n<ol>\n";
  for (std::size_t i = 0; i < conditions.texts.size(); ++i)
    html +=
        fmt::format("<li id=\"conditions-{}\">{}</li>\n", i + 1, escaped_html(conditions.texts[i]));
  return html + "</ol>\n";
}

constexpr const char* kReading =
    "<p>Arrows beside metrics: whether more (↑) or less (↓) is better. A number of one run stands "
    "with its standard error over items. A row of several seeds is their mean with the standard "
    "deviation over them. In the summary and in plots the training seed is the unit where there "
    "are several (other seeds are averaged inside one), with Student's t interval; methods are "
    "then "
    "compared by a paired t test over the same seeds. Single runs are compared item by item: by "
    "McNemar's exact test where items are independent and 0 or 1, else by flipping the signs of "
    "clusters of items. What one training seed shows need not hold for another, and what a small "
    "model shows need not hold for a large one.</p>\n";

}  // namespace

std::string to_html_page(const ResultStore& store, const std::string& experiment) {
  const ExperimentName found = find_experiment(store, experiment);
  const NamedRows stages(store, kRunStagesSql, {{"experiment", found.key}});
  std::vector<MetricName> metrics;
  const std::vector<StoredRun> stored = read_runs(store, found.key, metrics);
  const std::vector<RowRuns> rows = group_by_seed(stored);  // those of the table
  std::vector<std::string> row_links;
  for (const RowRuns& row : rows) row_links.push_back(row_anchor(row));

  std::vector<std::tuple<std::string, std::string, std::string>> sections = {
      {"summary", "Summary", summary_html(safety_verdicts(store, found.key), rows)},
      {"table", "Table",
       table_html(main_table(store, found.key), "main-table", found.name, row_links)}};
  std::string figures;
  for (const Plot& plot : read_plots(store, found.key)) figures += figure_html(plot);
  if (!figures.empty()) sections.emplace_back("plots", "Plots", figures);
  if (std::string changes = changes_html(store, stored); !changes.empty())
    sections.emplace_back("items", "Items that changed", changes);
  sections.emplace_back("published", "Published values", published_html(store, found.key));
  sections.emplace_back("reading", "How to read this", kReading);
  const Conditions conditions = differing_conditions(store, found.key);
  sections.emplace_back("runs", "Runs", runs_html(store, found, stages, rows, conditions));
  sections.emplace_back("conditions", "Conditions", conditions_html(store, found.key, conditions));
  sections.emplace_back(
      "file", "Experiment file",
      fmt::format("<pre>{}</pre>\n", escaped_html(experiment_toml(store, found.key))));

  std::string contents, body;
  for (const auto& [id, title, content] : sections) {
    contents += fmt::format("<a href=\"#{}\">{}</a>", id, title);
    body += section(id, title, content);
  }
  return filled(kPageHtml, {{"title", escaped_html(found.name)},
                            {"lead", escaped_html(lead_text(stages, rows.size()))},
                            {"contents", contents},
                            {"sections", body},
                            {"key", found.key},
                            {"style", kPageCss},
                            {"script", kPageJs}});
}

}  // namespace harness
