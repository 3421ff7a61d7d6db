#include "harness/data/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "harness/core/error.h"
#include "harness/data/arrow_table.h"
#include "harness/data/csv.h"
#include "harness/data/file.h"
#include "harness/data/json_value.h"

namespace harness {
namespace fs = std::filesystem;
namespace {

/// The ending that says how the rows are written: ".jsonl" of "a.jsonl.gz".
std::string format_of(const fs::path& path) {
  return is_compressed_name(path) ? path.stem().extension().string() : path.extension().string();
}

void check_object(const Value& row, const std::string& where) {
  if (!row.is_table()) throw Error(where, row.describe(), "a JSON object with the row's fields");
}

void check_rows(Value::Array& rows, const std::string& where) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].set_where(fmt::format("{}, row {}", where, i + 1));
    check_object(rows[i], rows[i].where());
  }
}

std::vector<Value> read_all_lists(const fs::path& path, Value& content) {
  if (!content.is_table()) throw Error(path.string(), content.describe(), "an object of lists");
  std::vector<Value> rows;
  for (auto& [key, list] : content.as_table()) {
    const std::string where = fmt::format("{}, \"{}\"", path.string(), key);
    if (!list.is_array()) throw Error(where, list.describe(), "a list of objects");
    check_rows(list.as_array(), where);
    for (Value& row : list.as_array()) {
      row.set("_list", key);
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::vector<Value> read_json(const fs::path& path, const std::string& list) {
  Value content = parse_json_value(read_text_file(path), path.string());
  if (list == "*") return read_all_lists(path, content);
  Value* rows = &content;
  if (!list.empty()) rows = content.is_table() ? content.find(list) : nullptr;
  if (!rows || !rows->is_array())
    throw Error(path.string(), rows ? rows->describe() : fmt::format("no key \"{}\"", list),
                list.empty() ? "a list of objects" : fmt::format("a list under \"{}\"", list));
  check_rows(rows->as_array(), path.string());
  return std::move(rows->as_array());
}

bool is_known_format(const fs::path& path) {
  static const std::set<std::string> kText{".jsonl", ".json", ".csv"};
  return kText.count(format_of(path)) || path.extension() == ".arrow" ||
         path.extension() == ".parquet";
}

}  // namespace

std::vector<Value> read_json_lines(const fs::path& path, std::size_t lines) {
  const std::string text = read_text_file(path, lines);
  std::vector<Value> rows;
  std::size_t line = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view content = std::string_view(text).substr(begin, end - begin);
    ++line;
    begin = end + 1;
    if (content.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}:{}", path.string(), line);
    rows.push_back(parse_json_value(content, where));
    check_object(rows.back(), where);
  }
  return rows;
}

std::vector<Value> read_rows(const fs::path& path, const std::string& list) {
  if (!is_known_format(path))
    throw Error(path.string(), "a file of a kind that is not known by its name",
                ".arrow, .parquet, .jsonl, .json or .csv, the last three also with .gz or .bz2");
  const std::string format = format_of(path);
  std::vector<Value> rows = format == ".jsonl"  ? read_json_lines(path)
                            : format == ".json" ? read_json(path, list)
                            : format == ".csv"  ? read_csv_rows(path)
                                                : read_table_rows(path);
  if (rows.empty())
    throw Error(path.string(), "no rows", "one at least", "it may be truncated: fetch it again");
  return rows;
}

}  // namespace harness
