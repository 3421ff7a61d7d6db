#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace harness {

/// Reads JSON strictly: a key that stands twice in one object is an error too, because readers
/// disagree on which of the two counts.
/// @param where the file, for messages
/// @throws Error with the line and column of a syntax error, or the key that stands twice
nlohmann::json parse_json(std::string_view text, const std::string& where);

}  // namespace harness
