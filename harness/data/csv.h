#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace harness {

/// Rows of some columns of a CSV file with a header line: fields may be quoted, and quoted ones may
/// hold commas, doubled quotes and line breaks (RFC 4180). The text must be UTF-8.
/// @return [rows][columns], in the order asked for
/// @throws Error: no such column (names those there are), a row with more or fewer fields than the
/// header, a quote that is not closed, a file that cannot be read or is empty
std::vector<std::vector<std::string>> read_csv(const std::filesystem::path& path,
                                               const std::vector<std::string>& columns);

}  // namespace harness
