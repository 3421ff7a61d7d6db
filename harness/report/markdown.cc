#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "harness/report/render.h"

namespace harness {
namespace {

/// Text that Markdown shows as it is.
std::string escaped(const std::string& text) {
  std::string result;
  for (char c : text) {
    if (c == '\n' || c == '\r')
      result += ' ';
    else if (c == '<')
      result += "&lt;";
    else if (std::string_view("\\|*`[]").find(c) != std::string_view::npos)
      result += std::string{'\\', c};
    else
      result += c;
  }
  return result;
}

}  // namespace

std::string to_markdown(const Table& table) {
  const std::vector<std::size_t> shown = shown_columns(table);

  std::vector<std::vector<std::string>> lines(table.rows.size() + 1);
  for (std::size_t c : shown) {
    const Column& column = table.columns[c];
    const std::string title = escaped(column.title);
    lines[0].push_back(
        column.group.empty() ? title : fmt::format("{}<br>{}", escaped(column.group), title));
    for (std::size_t r = 0; r < table.rows.size(); ++r)
      lines[r + 1].push_back(escaped(marked_text(table.rows[r][c])));
  }

  std::string text;
  if (!table.caption.empty()) text = fmt::format("**{}**\n\n", escaped(table.caption));
  std::vector<std::size_t> widths(shown.size(), 3);  // "---"
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i)
      widths[i] = std::max(widths[i], display_width(line[i]));
  for (std::size_t r = 0; r < lines.size(); ++r) {
    text += "|";
    for (std::size_t i = 0; i < shown.size(); ++i)
      text +=
          fmt::format(" {} |", padded(lines[r][i], widths[i], table.columns[shown[i]].alignment));
    text += "\n";
    if (r > 0) continue;
    text += "|";
    for (std::size_t i = 0; i < shown.size(); ++i) {
      const bool right = table.columns[shown[i]].alignment == Alignment::right;
      text += fmt::format(" {:->{}}{} |", "", widths[i] - right, right ? ":" : "");
    }
    text += "\n";
  }
  if (!table.notes.empty()) text += "\n";
  for (const std::string& note : table.notes) text += fmt::format("- {}\n", escaped(note));
  return text;
}

}  // namespace harness
