#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "harness/report/table.h"

namespace harness {

/// GitHub's Markdown: caption in bold, table, notes as a list.
std::string to_markdown(const Table& table);

/// RFC 4180 with a line feed at each line's end. Every digit of every number, machine_only columns
/// and the details of cells included; no caption, no notes.
std::string to_csv(const Table& table);

/// A line of such a file.
std::string csv_line(const std::vector<std::string>& fields);

/// A tabular of LaTeX with booktabs' rules, notes below it, everything escaped: for \input.
std::string to_latex(const Table& table);

/// For a terminal: columns aligned by how wide characters are shown, long texts broken into lines
/// of at most `widest` columns, notes below.
std::string to_text(const Table& table, std::size_t widest = 60);

/// How many columns of a terminal a UTF-8 text takes; a byte that is no UTF-8 takes one.
std::size_t display_width(std::string_view text);

/// `text` with spaces behind it (left) or before it (right), to a display width of at least
/// `width`.
std::string padded(const std::string& text, std::size_t width, Alignment alignment);

}  // namespace harness
