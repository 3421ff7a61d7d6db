#include "harness/report/html_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "harness/core/text.h"
#include "harness/report/markup.h"
#include "harness/report/queries.h"

namespace harness {
namespace {

constexpr std::size_t kMostListedEvals = 256;  // attempts some of whose items are named

/// Items with one score, or with scores near each other, of an attempt.
struct ItemGroup {
  std::string about;                    // "score 1", "lowest"
  std::size_t count = 0;                // of all
  std::vector<std::string> named = {};  // the first few, as HTML
};

/// What of an attempt's items fits on a page: by score where there are few, else both ends.
std::vector<ItemGroup> item_groups(const NamedRows& items) {
  constexpr std::size_t kNamed = 3, kMostScores = 4;
  auto named = [&](std::size_t r) {
    const std::string cluster = items.text(r, "cluster");
    return fmt::format("<code>{}</code>{}", escaped_html(items.text(r, "id")),
                       cluster.empty() ? "" : escaped_html(" (" + cluster + ")"));
  };
  std::vector<ItemGroup> groups;
  for (std::size_t r = 0; r < items.size(); ++r) {
    const std::string about = "score " + items.text(r, "score");
    if (groups.empty() || groups.back().about != about) groups.push_back({about});
    ItemGroup& group = groups.back();
    ++group.count;
    if (group.named.size() < kNamed) group.named.push_back(named(r));
    if (groups.size() > kMostScores) break;
  }
  if (groups.size() <= kMostScores) return groups;
  groups = {{"lowest"}, {"highest"}};
  for (std::size_t i = 0; i < std::min(kNamed, items.size()); ++i)
    for (const auto& [group, r] : {std::pair(&groups[0], i), {&groups[1], items.size() - 1 - i}})
      group->named.push_back(fmt::format("{} {}", named(r), escaped_html(items.text(r, "score"))));
  return groups;
}

/// The items behind evals: how many are stored, and which a page has room to name.
class ItemLists {
 public:
  ItemLists(const ResultStore& store, const std::string& experiment) : store_(store) {
    const NamedRows counts(store, kItemCountsSql, {{"experiment", experiment}});
    for (std::size_t r = 0; r < counts.size(); ++r)
      counts_[counts.text(r, "attempt")] = counts.integer(r, "items");
  }
  bool empty() const { return counts_.empty(); }
  bool has(const std::string& attempt) const { return counts_.contains(attempt); }

  /// Of an attempt; empty where none of its items is stored.
  std::string html(const std::string& attempt) {
    const auto found = counts_.find(attempt);
    if (found == counts_.end()) return "";
    const std::string count =
        fmt::format("{} item{} stored", found->second, found->second == 1 ? "" : "s");
    if (++listed_ > kMostListedEvals) return fmt::format("<p>{}.</p>\n", count);
    std::string list;
    for (const ItemGroup& group :
         item_groups(NamedRows(store_, kItemsByScoreSql, {{"attempt", attempt}})))
      list += fmt::format("<li>{}: {}{}</li>\n", escaped_html(group.about),
                          group.count == 0 ? "" : fmt::format("{} of them, such as ", group.count),
                          fmt::join(group.named, ", "));
    return fmt::format("<details><summary>{}</summary>\n<ul>\n{}</ul></details>\n", count, list);
  }

 private:
  const ResultStore& store_;
  std::map<std::string, std::int64_t> counts_;  // by attempt
  std::size_t listed_ = 0;
};

std::string stage_html(const NamedRows& stages, std::size_t begin, std::size_t end,
                       const Conditions& conditions, ItemLists& items) {
  auto text = [&](const char* column) { return escaped_html(stages.text(begin, column)); };
  if (!stages.cell(begin, "stage")) return "<p>Not started.</p>\n";
  std::string html = fmt::format("<p><strong>{} {}</strong> {} <em>{}</em>", text("kind"),
                                 text("stage"), text("protocol"), text("attempt_status"));
  if (const auto seconds = stages.number(begin, "wall_seconds"))
    html += fmt::format(", {} in {}, peak memory {}", text("started_at").substr(0, 19),
                        human_seconds(*seconds),
                        human_bytes(stages.number(begin, "peak_memory_bytes").value_or(0)));
  if (stages.cell(begin, "attempt")) html += fmt::format(", attempt {}", text("attempt"));
  if (const auto found = conditions.of_attempt.find(stages.text(begin, "attempt"));
      found != conditions.of_attempt.end())
    html += fmt::format(", <a href=\"#conditions-{0}\">conditions {0}</a>", found->second + 1);
  html += "</p>\n";
  if (!stages.text(begin, "message").empty())
    html += fmt::format("<pre>{}</pre>\n", text("message"));
  if (!stages.cell(begin, "metric")) return html;
  html += "<ul>\n";
  for (std::size_t r = begin; r < end; ++r) {
    html += fmt::format("<li>{} = {}", escaped_html(stages.text(r, "metric")),
                        escaped_html(stages.cell(r, "value").value_or(stages.text(r, "status"))));
    if (stages.cell(r, "standard_error")) html += " ± " + stages.text(r, "standard_error");
    html += fmt::format(" ({} items)</li>\n", stages.text(r, "count"));
  }
  return html + "</ul>\n" + items.html(stages.text(begin, "attempt"));
}

/// The command that writes a run's items.
/// @param run the beginning of its key
std::string export_html(const std::string& experiment, const std::string& run) {
  return fmt::format("<code>harness export items {} --run {} --format csv --out items.csv</code>",
                     escaped_html(experiment), escaped_html(run));
}

/// A run with its stages: rows [begin, end) of `stages`.
std::string run_html(const NamedRows& stages, std::size_t begin, std::size_t end,
                     const Conditions& conditions, const std::string& canonical,
                     const std::string& experiment, ItemLists& items) {
  const std::string key = stages.text(begin, "run_key");
  std::string html = fmt::format(
      "<section class=\"attempt\" id=\"{}\"><h3>{}, {}, seed {}</h3>\n<p>{}; {}; {}. Run "
      "<code>{}</code>, whole by <code>harness show {}</code>.</p>\n",
      run_anchor(key), escaped_html(stages.text(begin, "label")),
      escaped_html(stages.text(begin, "model")), stages.text(begin, "seed"),
      escaped_html(stages.text(begin, "format")),
      stages.text(begin, "methods").empty() ? "no method"
                                            : escaped_html(stages.text(begin, "methods")),
      escaped_html("weights as stored: " + stages.text(begin, "scheme")), key, key.substr(0, 12));
  bool has_items = false;
  for (std::size_t r = begin; r < end;) {
    std::size_t next = r + 1;
    while (next < end && stages.cell(next, "stage_position") == stages.cell(r, "stage_position"))
      ++next;
    html += stage_html(stages, r, next, conditions, items);
    has_items = has_items || items.has(stages.text(r, "attempt"));
    r = next;
  }
  if (has_items)
    html += fmt::format("<p>All its items: {}</p>\n", export_html(experiment, key.substr(0, 12)));
  return html + fmt::format(
                    "<details><summary>Configuration</summary><pre>{}</pre></details>\n"
                    "</section>\n",
                    escaped_html(canonical));
}

}  // namespace

Conditions differing_conditions(const ResultStore& store, const std::string& key) {
  const NamedRows rows(store, kStageProvenanceSql, {{"experiment", key}});
  std::map<std::string, std::set<std::string>> values;
  for (std::size_t r = 0; r < rows.size(); ++r)
    values[rows.text(r, "key")].insert(rows.text(r, "value"));
  std::map<std::string, std::string> of_attempt;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (values[rows.text(r, "key")].size() < 2) continue;
    std::string& text = of_attempt[rows.text(r, "attempt")];
    text += fmt::format("{}{} {}", text.empty() ? "" : "; ", rows.text(r, "key"),
                        rows.text(r, "value"));
  }
  std::map<std::string, std::size_t> index;
  for (const auto& [attempt, text] : of_attempt) index.emplace(text, 0);
  Conditions conditions;
  for (auto& [text, place] : index) {
    place = conditions.texts.size();
    conditions.texts.push_back(text);
  }
  for (const auto& [attempt, text] : of_attempt) conditions.of_attempt[attempt] = index[text];
  return conditions;
}

std::string row_anchor(const RowRuns& row) { return "row-" + run_anchor(row.front()->key); }

std::string runs_html(const ResultStore& store, const ExperimentName& experiment,
                      const NamedRows& stages, const std::vector<RowRuns>& rows,
                      const Conditions& conditions) {
  std::map<std::string, std::string> canonical;
  const auto found = store.query(
      "SELECT key, canonical FROM runs WHERE key IN "
      "(SELECT run_key FROM current_runs WHERE experiment_key = :key)",
      {{"key", experiment.key}});
  ItemLists items(store, experiment.key);
  for (const auto& row : found.rows) canonical[*row[0]] = row[1].value_or("");
  std::map<std::string, std::string> of_run;  // HTML by key
  for (std::size_t r = 0; r < stages.size();) {
    std::size_t next = r + 1;
    while (next < stages.size() && stages.cell(next, "position") == stages.cell(r, "position"))
      ++next;
    const std::string run = stages.text(r, "run_key");
    of_run.emplace(run,
                   run_html(stages, r, next, conditions, canonical[run], experiment.name, items));
    r = next;
  }
  std::string html =
      "<p>Every run behind the table, with each number in all its digits, when and how it was "
      "made. What "
      "all attempts share stands under <a href=\"#conditions\">Conditions</a>.</p>\n";
  html += fmt::format(
      "<p>{} {} writes each of a run's items, its score, its cluster and what was measured of it; "
      "with <code>--eval PROTOCOL</code> those of one eval.</p>\n",
      items.empty()
          ? "The items behind the numbers are not in the database that this page was made "
            "of. Where they were measured,"
          : "The items behind a number are counted and some of them named under its eval, "
            "by id (and what they belong to).",
      export_html(experiment.name, "RUN"));
  std::set<std::string> shown;
  for (const RowRuns& row : rows) {
    html += fmt::format("<details class=\"run\" id=\"{}\"><summary>{}{}</summary>\n",
                        row_anchor(row), escaped_html(row.front()->label),
                        row.size() > 1 ? fmt::format(": {} runs", row.size()) : "");
    for (const StoredRun* run : row)
      if (shown.insert(run->key).second) html += of_run[run->key];
    html += "</details>\n";
  }
  return html;
}

}  // namespace harness
