#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace harness {

/// The fields of a CSV text of our own without quotes, line by line, the heading left out.
std::vector<std::vector<std::string>> csv_lines(std::string_view text);

}  // namespace harness
