#include <algorithm>
#include <string>
#include <vector>

#include "harness/report/csv_lines.h"
#include "harness/report/render.h"

namespace harness {
namespace {

std::string field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

/// Names of the details that any cell of a column has, in the order in which they appear.
std::vector<std::string> detail_names(const Table& table, std::size_t column) {
  std::vector<std::string> names;
  for (const auto& row : table.rows)
    for (const auto& [name, value] : row[column].details)
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  return names;
}

std::string detail(const Cell& cell, const std::string& name) {
  for (const auto& [its_name, value] : cell.details)
    if (its_name == name) return value;
  return "";
}

}  // namespace

std::vector<std::vector<std::string>> csv_lines(std::string_view text) {
  std::vector<std::vector<std::string>> lines;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    std::vector<std::string>& fields = lines.emplace_back();
    for (std::size_t comma; (comma = line.find(',')) != std::string_view::npos;
         line.remove_prefix(comma + 1))
      fields.emplace_back(line.substr(0, comma));
    fields.emplace_back(line);
  }
  lines.erase(lines.begin());
  return lines;
}

std::string csv_line(const std::vector<std::string>& fields) {
  std::string line;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) line += ',';
    line += field(fields[i]);
  }
  return line + '\n';
}

std::string to_csv(const Table& table) {
  std::vector<std::vector<std::string>> details;
  std::vector<std::string> titles;
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    const Column& column = table.columns[c];
    const std::string title =
        column.group.empty() ? column.title : column.group + " " + column.title;
    titles.push_back(title);
    details.push_back(detail_names(table, c));
    for (const std::string& name : details.back()) titles.push_back(title + " " + name);
  }
  std::string csv;
  csv += csv_line(titles);
  for (const auto& row : table.rows) {
    std::vector<std::string> fields;
    for (std::size_t c = 0; c < row.size(); ++c) {
      fields.push_back(row[c].exact.value_or(row[c].text));
      for (const std::string& name : details[c]) fields.push_back(detail(row[c], name));
    }
    csv += csv_line(fields);
  }
  return csv;
}

}  // namespace harness
