#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "harness/store/result_store.h"

namespace harness {

/// The rows of a query by the names of their columns.
class NamedRows {
 public:
  NamedRows(const ResultStore& store, const std::string& sql,
            const ResultStore::Parameters& parameters = {});
  std::size_t size() const { return result_.rows.size(); }
  bool has(std::string_view column) const { return columns_.contains(column); }
  /// What stands in a row, from 0; NULL is nothing.
  /// @throws Error (of this and all below) when the query gives no such column
  const std::optional<std::string>& cell(std::size_t row, std::string_view column) const;
  /// NULL as empty text.
  std::string text(std::size_t row, std::string_view column) const;
  /// NULL as nothing, a text that is no number as NaN.
  std::optional<double> number(std::size_t row, std::string_view column) const;
  /// NULL, and what is no integer, as 0.
  std::int64_t integer(std::size_t row, std::string_view column) const;
  /// Whether a number stands there, and no text.
  bool numeric(std::size_t row, std::string_view column) const;

 private:
  std::size_t column_of(std::string_view name) const;
  std::string where_;
  ResultStore::ResultSet result_;
  std::map<std::string, std::size_t, std::less<>> columns_;
};

}  // namespace harness
