#include "harness/model/json.h"

#include <fmt/format.h>

#include <set>
#include <vector>

#include "harness/core/error.h"

namespace harness {

nlohmann::json parse_json(std::string_view text, const std::string& where) {
  using nlohmann::json;
  std::vector<std::set<std::string>> keys_at_depth;
  auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    auto level = static_cast<std::size_t>(depth);
    if (event == json::parse_event_t::object_start) {
      // The keys of this object arrive one level deeper.
      keys_at_depth.resize(level + 1);
      keys_at_depth.emplace_back();
    } else if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys_at_depth.at(level).insert(key).second)
        throw Error(where, fmt::format("\"{}\" stands twice in one JSON object", key),
                    "distinct keys", "remove one of the two");
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), watch);
  } catch (const json::exception& error) {
    std::string reason = error.what();  // "[json.exception.parse_error.101] parse error at ..."
    if (std::size_t end = reason.find("] "); end != std::string::npos) reason.erase(0, end + 2);
    throw Error(where, fmt::format("is not JSON ({})", reason), "a JSON object",
                "copy or download the file again");
  }
}

}  // namespace harness
