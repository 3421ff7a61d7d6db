#include "harness/model/stored_runtime.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "harness/core/error.h"
#include "harness/core/format_value.h"
#include "harness/model/json.h"

namespace harness {
namespace {

using nlohmann::json;
constexpr int kVersion = 1;

}  // namespace

std::string runtime_json(const StoredRuntime& runtime) {
  Value format(Value::Table{{"format", ValueTraits<Format>::write(runtime.format)}});
  return json{{"version", kVersion},
              {"format", to_toml(format)},
              {"online_down", runtime.online_down},
              {"online_qk", runtime.online_qk},
              {"online_heads", runtime.online_heads}}
      .dump();
}

StoredRuntime parse_runtime(const std::string& text, const std::string& where) {
  const json object = parse_json(text, where);
  const std::string at = fmt::format("{}: {}", where, kRuntimeKey);
  if (!object.is_object() || object.value("version", 0) != kVersion)
    throw Error(at, fmt::format("version {}", object.is_object() ? object.value("version", 0) : 0),
                fmt::format("version {}", kVersion), "quantize the model again with this harness");
  auto flag = [&](const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_boolean())
      throw Error(at, fmt::format("{} is absent or no boolean", key), "true or false");
    return found->get<bool>();
  };
  if (!object.contains("format") || !object["format"].is_string())
    throw Error(at, "format is absent or no text", "the run's format as TOML");
  const Value table = parse_toml(object["format"].get<std::string>(), at);
  const Value* format = table.find("format");
  if (!format) throw Error(at, "no format", "the run's format as TOML");
  Problems problems;
  StoredRuntime runtime{ValueTraits<Format>::read(*format, problems), flag("online_down"),
                        flag("online_qk"), flag("online_heads")};
  problems.throw_if_any();
  return runtime;
}

}  // namespace harness
