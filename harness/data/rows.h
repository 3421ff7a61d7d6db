#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "harness/core/value.h"

namespace harness {

/// The rows of a data file, whose name says how they are written: .arrow, .parquet, .jsonl, .json
/// or .csv, the last three also with .gz or .bz2 behind. Each is a table of the row's fields that
/// knows its place
/// ("file.jsonl:12", "file.parquet, row 12"; rows count from 1).
/// - Arrow (files and streams) and Parquet: numbers, booleans, strings, lists, structs, nulls;
/// - JSON lines: an object a line, blank lines are skipped;
/// - JSON: a list of objects, or an object whose key `list` holds one; `list` "*": every key of the
///   object holds one, and its rows get the key as their field _list;
/// - CSV with a header line: every field is a string.
/// @throws Error that names the file, and the line or row, of what is malformed; a file without
/// rows is an error too
std::vector<Value> read_rows(const std::filesystem::path& path, const std::string& list = {});

/// The rows of JSON lines, whatever the file is called; no more of it is read than so many lines.
std::vector<Value> read_json_lines(const std::filesystem::path& path,
                                   std::size_t lines = std::numeric_limits<std::size_t>::max());

}  // namespace harness
