#pragma once

#include <string>

#include "harness/model/checkpoint.h"

namespace harness {

/// The key of config.json under which a StoredRuntime stands.
constexpr const char* kRuntimeKey = "aaq_harness";

/// A StoredRuntime as a JSON object, and back.
std::string runtime_json(const StoredRuntime& runtime);
/// @param text  the object
/// @param where the file's name, for messages
/// @throws Error on keys of another version, or a format that cannot be read
StoredRuntime parse_runtime(const std::string& text, const std::string& where);

}  // namespace harness
