#pragma once

#include <nlohmann/json.hpp>

#include "tests/support/support.h"

namespace harness::test {

/// tests/golden/data/golden.json: what pyarrow and Python say of the files beside it.
inline const nlohmann::json& golden_data() {
  static const auto data = nlohmann::json::parse(read_file(golden("data/golden.json")));
  return data;
}

}  // namespace harness::test
