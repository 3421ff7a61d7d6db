#include "harness/data/csv.h"

#include <arrow/api.h>
#include <arrow/csv/api.h>
#include <arrow/io/memory.h>
#include <fmt/format.h>

#include <memory>

#include "harness/core/error.h"
#include "harness/core/text.h"
#include "harness/data/arrow_result.h"
#include "harness/data/file.h"

namespace harness {
namespace {

constexpr const char* kExpectedCsv = "CSV with a header line and as many fields in each row";

/// Whether a quoted field is still open at the end. Arrow takes the file's end for the field's.
bool open_quote(const std::string& text) {
  bool open = false;
  for (const char c : text) open = open != (c == '"');
  return open;
}

std::string read_closed_text(const std::filesystem::path& path) {
  std::string text = read_text_file(path);
  if (open_quote(text))
    throw Error(path.string(), "a quoted field that is not closed", kExpectedCsv,
                "it may be truncated: fetch it again");
  return text;
}

/// @param columns those that are wanted as strings; others may be of any type
std::shared_ptr<arrow::Table> parse_csv(const std::string& text,
                                        const std::vector<std::string>& columns,
                                        const std::filesystem::path& path) {
  // One thread and one block: only so do messages count rows from the file's beginning.
  arrow::csv::ReadOptions read = arrow::csv::ReadOptions::Defaults();
  read.use_threads = false;
  read.block_size = static_cast<std::int32_t>(text.size()) + 1;
  arrow::csv::ParseOptions parse = arrow::csv::ParseOptions::Defaults();
  parse.newlines_in_values = true;
  arrow::csv::ConvertOptions convert = arrow::csv::ConvertOptions::Defaults();
  for (const std::string& column : columns) convert.column_types[column] = arrow::utf8();
  const auto reader =
      value_of(arrow::csv::TableReader::Make(
                   arrow::io::default_io_context(),
                   std::make_shared<arrow::io::BufferReader>(arrow::Buffer::FromString(text)), read,
                   parse, convert),
               path, kExpectedCsv);
  return value_of(reader->Read(), path, kExpectedCsv);
}

/// Calls take(row, text) for each field of a column.
template <class Take>
void each_field(const arrow::Table& table, const std::string& column,
                const std::filesystem::path& path, Take&& take) {
  const auto chunks = table.GetColumnByName(column);
  if (!chunks) {
    const std::vector<std::string> names = table.schema()->field_names();
    throw Error(path.string(), fmt::format("no column \"{}\"", column),
                fmt::format("one of {}", fmt::join(names, ", ")), did_you_mean(column, names));
  }
  std::size_t row = 0;
  for (const auto& chunk : chunks->chunks()) {
    const auto& strings = static_cast<const arrow::StringArray&>(*chunk);
    for (std::int64_t i = 0; i < strings.length(); ++i) take(row++, strings.GetString(i));
  }
}

}  // namespace

std::vector<std::vector<std::string>> read_csv(const std::filesystem::path& path,
                                               const std::vector<std::string>& columns) {
  const auto table = parse_csv(read_closed_text(path), columns, path);
  std::vector<std::vector<std::string>> rows(static_cast<std::size_t>(table->num_rows()));
  for (const std::string& column : columns)
    each_field(*table, column, path,
               [&](std::size_t row, std::string text) { rows[row].push_back(std::move(text)); });
  return rows;
}

std::vector<Value> read_csv_rows(const std::filesystem::path& path) {
  const std::string text = read_closed_text(path);
  const std::vector<std::string> columns = parse_csv(text, {}, path)->schema()->field_names();
  const auto table = parse_csv(text, columns, path);
  std::vector<Value> rows(static_cast<std::size_t>(table->num_rows()), Value(Value::Table()));
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i].set_where(fmt::format("{}, row {}", path.string(), i + 1));
  for (const std::string& column : columns)
    each_field(*table, column, path, [&](std::size_t row, std::string field) {
      rows[row].as_table().emplace_back(column, Value(std::move(field)));
    });
  return rows;
}

}  // namespace harness
