#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace harness {

/// A column of strings from an Arrow file or stream, or from a Parquet file, as Hugging Face `datasets`
/// stores them. Nulls become empty strings. No Arrow type appears in this header.
/// @throws Error: not such a file, no such column (names those there are), not a string column
std::vector<std::string> read_string_column(const std::filesystem::path& path,
                                            const std::string& column);

}  // namespace harness
