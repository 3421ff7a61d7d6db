#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "harness/store/result_store.h"

namespace harness {

enum class Alignment { left, right };

struct Column {
  std::string title;
  std::string group = {};  // neighbours of one group stand under one heading; empty: none
  Alignment alignment = Alignment::left;
  bool machine_only = false;  // in CSV, not in tables for people: constant or long
};

struct Cell {
  std::string text;  // for people
  std::optional<std::string> exact =
      {};  // for machines where it differs: every digit, empty for nothing
  // Further columns for machines, after this one: {"standard error", "0.4170..."}.
  std::vector<std::pair<std::string, std::string>> details = {};
  bool best = false;     // of its column, outside noise: "★"
  bool differs = false;  // from the table's reference, outside noise: "†"
};

/// A table before it is Markdown, CSV or text. Every row has as many cells as there are columns.
struct Table {
  std::string caption;
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;
  std::vector<std::string> notes;  // under the table, one line each
};

/// Places of the columns that tables for people have.
std::vector<std::size_t> shown_columns(const Table& table);

/// The text for people behind its marks: "★† 0.934 ± 0.032".
std::string marked_text(const Cell& cell);

/// What a query gave, as it is: numbers to the right, NULL as NULL.
Table result_table(const ResultStore::ResultSet& result);

/// A number with the digits that its uncertainty leaves: two digits of the uncertainty, and the
/// value to the same place ("23.11 ± 0.42"); four significant digits where none is known. NaN and
/// infinities are words.
std::string format_measured(double value, std::optional<double> uncertainty = std::nullopt);

/// The value of that alone, to the place of its uncertainty: "23.11", "1.54e-6".
std::string format_value(double value, double uncertainty);

/// "-0.031 to +0.004": two digits of half the width, and a sign where `signs`; "–" where unknown.
std::string format_interval(double low, double high, bool signs);

/// A probability for people: two digits, "<0.0001" below that, "–" where unknown.
std::string format_p(double p);

}  // namespace harness
