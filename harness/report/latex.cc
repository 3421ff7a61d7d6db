#include <fmt/format.h>

#include <vector>

#include "harness/report/markup.h"
#include "harness/report/render.h"

namespace harness {

std::string to_latex(const Table& table) {
  const std::vector<std::size_t> shown = shown_columns(table);
  std::string alignments, groups, rules;
  std::vector<std::string> titles;
  for (std::size_t i = 0; i < shown.size();) {
    const std::string& group = table.columns[shown[i]].group;
    std::size_t end = i;
    for (; end < shown.size() && table.columns[shown[end]].group == group; ++end) {
      const Column& column = table.columns[shown[end]];
      alignments += column.alignment == Alignment::right ? 'r' : 'l';
      titles.push_back(escaped_latex(column.title));
    }
    if (i > 0) groups += " & ";
    groups += fmt::format("\\multicolumn{{{}}}{{c}}{{{}}}", end - i, escaped_latex(group));
    if (!group.empty()) rules += fmt::format("\\cmidrule(lr){{{}-{}}}", i + 1, end);
    i = end;
  }
  std::string text = "% Needs \\usepackage{booktabs}.\n";
  if (!table.caption.empty()) text += "% " + escaped_latex(table.caption) + "\n";
  text += fmt::format("\\begin{{tabular}}{{{}}}\n\\toprule\n", alignments);
  if (!rules.empty()) text += groups + " \\\\\n" + rules + "\n";
  text += fmt::format("{} \\\\\n\\midrule\n", fmt::join(titles, " & "));
  for (const auto& row : table.rows) {
    std::vector<std::string> cells;
    for (std::size_t c : shown) cells.push_back(escaped_latex(marked_text(row[c])));
    // A row that begins with a bracket would be an argument of the \\ before it.
    text += fmt::format("{{}}{} \\\\\n", fmt::join(cells, " & "));
  }
  text += "\\bottomrule\n\\end{tabular}\n";
  if (table.notes.empty()) return text;
  text += "\\par\\smallskip\n{\\footnotesize\\raggedright\n";
  for (const std::string& note : table.notes) text += escaped_latex(note) + "\\par\n";
  return text + "}\n";
}

}  // namespace harness
