#include "harness/report/named_rows.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "harness/core/error.h"
#include "harness/core/text.h"

namespace harness {

NamedRows::NamedRows(const ResultStore& store, const std::string& sql,
                     const ResultStore::Parameters& parameters)
    : where_(store.path().string()), result_(store.query(sql, parameters)) {
  for (std::size_t c = 0; c < result_.columns.size(); ++c) columns_[result_.columns[c]] = c;
}

std::size_t NamedRows::column_of(std::string_view name) const {
  const auto found = columns_.find(name);
  if (found == columns_.end())
    throw Error(where_, fmt::format("the query gives no column \"{}\"", name),
                "the columns of the query of results/queries that it stands for",
                did_you_mean(name, result_.columns));
  return found->second;
}

const std::optional<std::string>& NamedRows::cell(std::size_t row, std::string_view column) const {
  return result_.rows[row][column_of(column)];
}

std::string NamedRows::text(std::size_t row, std::string_view column) const {
  return cell(row, column).value_or("");
}

std::optional<double> NamedRows::number(std::size_t row, std::string_view column) const {
  const auto& text = cell(row, column);
  if (!text) return std::nullopt;
  double value = std::nan("");
  std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

std::int64_t NamedRows::integer(std::size_t row, std::string_view column) const {
  const auto& text = cell(row, column);
  std::int64_t value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

bool NamedRows::numeric(std::size_t row, std::string_view column) const {
  return result_.numeric[row][column_of(column)];
}

}  // namespace harness
