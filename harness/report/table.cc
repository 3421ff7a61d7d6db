#include "harness/report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace harness {
namespace {

/// Power of ten of the first digit of a positive number, after rounding to `digits` significant
/// ones: 0.0996 to two is 0.10, so -1.
int exponent_of(double positive, int digits) {
  const std::string text = fmt::format("{:.{}e}", positive, digits - 1);
  return std::stoi(text.substr(text.find('e') + 1));
}

std::string word(double value) { return std::isnan(value) ? "NaN" : value > 0 ? "∞" : "-∞"; }

/// Decimals that leave `digits` significant digits of a positive number.
int decimals_for(double positive, int digits) {
  return std::max(0, digits - 1 - exponent_of(positive, digits));
}

}  // namespace

std::string format_measured(double value, std::optional<double> uncertainty) {
  constexpr int kDigits = 4, kUncertaintyDigits = 2;
  constexpr double kLarge = 1e7, kSmall = 1e-4;
  if (!std::isfinite(value)) return word(value);
  if (uncertainty && !std::isfinite(*uncertainty)) uncertainty.reset();
  const double size = std::abs(value);
  const double largest = std::max(size, uncertainty.value_or(0));
  if (largest >= kLarge || (largest > 0 && largest < kSmall)) {
    const int exponent = exponent_of(largest, kDigits);
    const double scale = std::pow(10.0, exponent);
    if (!uncertainty) return fmt::format("{:.{}e}", value, kDigits - 1);
    return fmt::format("({})e{}", format_measured(value / scale, *uncertainty / scale), exponent);
  }
  if (uncertainty && *uncertainty > 0) {
    // A tiny uncertainty does not make a number longer than a double is exact.
    const int decimals = std::min(12, decimals_for(*uncertainty, kUncertaintyDigits));
    return fmt::format("{:.{}f} ± {:.{}f}", value, decimals, *uncertainty, decimals);
  }
  const bool whole = value == std::floor(value);
  const int decimals = whole || size == 0 ? 0 : decimals_for(size, kDigits);
  const std::string text = fmt::format("{:.{}f}", value, decimals);
  return uncertainty ? text + " ± 0" : text;
}

std::string format_value(double value, double uncertainty) {
  const std::string text = format_measured(value, uncertainty);
  const std::size_t end = text.find(" ± ");
  if (!text.starts_with('(')) return text.substr(0, end);
  return text.substr(1, end - 1) + text.substr(text.find(')') + 1);  // "(1.54 ± 0.20)e-6"
}

std::vector<std::size_t> shown_columns(const Table& table) {
  std::vector<std::size_t> shown;
  for (std::size_t c = 0; c < table.columns.size(); ++c)
    if (!table.columns[c].machine_only) shown.push_back(c);
  return shown;
}

std::string marked_text(const Cell& cell) {
  const std::string marks = std::string(cell.best ? "★" : "") + (cell.differs ? "†" : "");
  return marks.empty() ? cell.text : marks + " " + cell.text;
}

std::string format_interval(double low, double high, bool signs) {
  if (std::isnan(low) || std::isnan(high)) return "–";
  const double half = (high - low) / 2;
  const int decimals = half > 0 && std::isfinite(half) ? std::min(12, decimals_for(half, 2)) : 4;
  auto text = [&](double value) {
    return signs ? fmt::format("{:+.{}f}", value, decimals)
                 : fmt::format("{:.{}f}", value, decimals);
  };
  return fmt::format("{} to {}", text(low), text(high));
}

std::string format_p(double p) {
  constexpr double kSmall = 1e-4;
  if (std::isnan(p)) return "–";
  if (p < kSmall) return "<0.0001";
  return p >= 0.995 ? "1" : fmt::format("{:.{}f}", p, decimals_for(p, 2));
}

Table result_table(const ResultStore::ResultSet& result) {
  Table table;
  for (std::size_t c = 0; c < result.columns.size(); ++c) {
    bool numeric = false, other = false;
    for (std::size_t r = 0; r < result.rows.size(); ++r) {
      numeric = numeric || result.numeric[r][c];
      other = other || (result.rows[r][c] && !result.numeric[r][c]);
    }
    table.columns.push_back({.title = result.columns[c],
                             .alignment = numeric && !other ? Alignment::right : Alignment::left});
  }
  for (const auto& row : result.rows) {
    std::vector<Cell> cells;
    for (const auto& value : row) {
      if (value)
        cells.push_back({.text = *value});
      else
        cells.push_back({.text = "NULL", .exact = ""});
    }
    table.rows.push_back(std::move(cells));
  }
  return table;
}

}  // namespace harness
