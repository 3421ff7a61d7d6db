#include <utf8proc.h>

#include <algorithm>
#include <string>
#include <vector>

#include "harness/report/render.h"

namespace harness {
namespace {

/// Bytes and terminal columns of the first character of a text that is not empty.
struct Glyph {
  std::size_t bytes, width;
};
Glyph first_glyph(std::string_view text) {
  utf8proc_int32_t code_point = 0;
  const utf8proc_ssize_t bytes =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                       static_cast<utf8proc_ssize_t>(text.size()), &code_point);
  if (bytes <= 0) return {1, 1};
  return {static_cast<std::size_t>(bytes),
          static_cast<std::size_t>(std::max(0, utf8proc_charwidth(code_point)))};
}

/// Bytes of the beginning of `text` that fits into `width` columns; at least one character.
std::size_t fitting_bytes(std::string_view text, std::size_t width) {
  std::size_t bytes = 0, columns = 0;
  while (bytes < text.size()) {
    const Glyph glyph = first_glyph(text.substr(bytes));
    if (bytes > 0 && columns + glyph.width > width) break;
    columns += glyph.width;
    bytes += glyph.bytes;
  }
  return bytes;
}

/// Lines of at most `width` columns, broken at spaces where there are any.
std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  while (true) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    while (display_width(line) > width) {
      std::size_t cut = fitting_bytes(line, width);
      // A space right after the line is a place to break as well.
      const std::size_t space = line.substr(0, cut + 1).rfind(' ');
      if (space != std::string_view::npos && space > 0) cut = space;
      lines.emplace_back(line.substr(0, cut));
      line.remove_prefix(cut);
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    }
    lines.emplace_back(line);
    if (end == text.size()) return lines;
    text.remove_prefix(end + 1);
  }
}

void append_line(std::string& text, std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  text += line + "\n";
}

constexpr std::size_t kGap = 2;  // columns between cells

/// Neighbouring columns under one heading.
struct Span {
  std::string heading;
  std::size_t first, count;
};
std::vector<Span> spans_of(const std::vector<const Column*>& columns) {
  std::vector<Span> spans;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    if (!spans.empty() && !columns[c]->group.empty() && spans.back().heading == columns[c]->group)
      ++spans.back().count;
    else
      spans.push_back({columns[c]->group, c, 1});
  }
  return spans;
}

}  // namespace

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const Glyph glyph = first_glyph(text);
    width += glyph.width;
    text.remove_prefix(glyph.bytes);
  }
  return width;
}

std::string padded(const std::string& text, std::size_t width, Alignment alignment) {
  const std::string space(width - std::min(width, display_width(text)), ' ');
  return alignment == Alignment::left ? text + space : space + text;
}

std::string to_text(const Table& table, std::size_t widest) {
  const std::vector<std::size_t> shown = shown_columns(table);
  std::vector<const Column*> columns;
  for (std::size_t c : shown) columns.push_back(&table.columns[c]);

  // rows[r][i]: the lines of a cell; row 0 is the titles.
  std::vector<std::vector<std::vector<std::string>>> rows(1);
  for (const Column* column : columns) rows[0].push_back({column->title});
  for (const auto& row : table.rows) {
    rows.emplace_back();
    for (std::size_t c : shown) rows.back().push_back(wrapped(marked_text(row[c]), widest));
  }
  std::vector<std::size_t> widths(shown.size(), 0);
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i)
      for (const std::string& line : row[i]) widths[i] = std::max(widths[i], display_width(line));

  const std::vector<Span> spans = spans_of(columns);
  std::string headings;
  bool any_heading = false;
  for (const Span& span : spans) {
    std::size_t width = (span.count - 1) * kGap;
    for (std::size_t i = span.first; i < span.first + span.count; ++i) width += widths[i];
    const std::size_t needed = display_width(span.heading);
    if (needed > width) widths[span.first + span.count - 1] += needed - width;
    width = std::max(width, needed);
    headings +=
        padded(span.heading, width, columns[span.first]->alignment) + std::string(kGap, ' ');
    any_heading = any_heading || !span.heading.empty();
  }

  std::string text = table.caption.empty() ? "" : table.caption + "\n";
  if (any_heading) append_line(text, headings);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::size_t height = 1;
    for (const auto& cell : rows[r]) height = std::max(height, cell.size());
    for (std::size_t h = 0; h < height; ++h) {
      std::string line;
      for (std::size_t i = 0; i < rows[r].size(); ++i)
        line +=
            padded(h < rows[r][i].size() ? rows[r][i][h] : "", widths[i], columns[i]->alignment) +
            std::string(kGap, ' ');
      append_line(text, line);
    }
    if (r > 0) continue;
    std::string rule;
    for (std::size_t width : widths) {
      for (std::size_t i = 0; i < width; ++i) rule += "─";
      rule += std::string(kGap, ' ');
    }
    append_line(text, rule);
  }
  for (const std::string& note : table.notes) text += note + "\n";
  return text;
}

}  // namespace harness
