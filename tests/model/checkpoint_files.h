#pragma once

#include <ATen/ATen.h>

#include <concepts>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "harness/core/hash.h"
#include "tests/support/support.h"

// Files of checkpoints for the tests, well-formed or not.

namespace harness::test {

/// A safetensors file with this header and these bytes of data.
inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  std::uint64_t size = header.size();
  std::string bytes(sizeof size, '\0');
  std::memcpy(bytes.data(), &size, sizeof size);
  return bytes + header + data;
}
/// The same with a header that is a JSON object.
template <class Json>
requires std::same_as<Json, nlohmann::json> std::string safetensors_bytes(const Json& header,
                                                                          const std::string& data) {
  return safetensors_bytes(header.dump(), data);
}

/// SHA-256 of a tensor's values as float32, row-major, little-endian (golden
/// checkpoint/generate.py).
inline std::string float_digest(const at::Tensor& values) {
  at::Tensor floats = values.to(at::kFloat).contiguous();
  return sha256({static_cast<const char*>(floats.data_ptr()), floats.nbytes()});
}

/// golden checkpoint/golden.json.
inline nlohmann::json golden_json() {
  return nlohmann::json::parse(read_file(golden("checkpoint/golden.json")));
}

/// A copy of golden checkpoint/sharded (a tiny LLaMA in two shards), to be damaged.
inline void copy_sharded(const std::filesystem::path& folder) {
  std::filesystem::copy(
      golden("checkpoint/sharded"), folder,
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
}

/// Changes one key of a JSON file.
inline void set_json(const std::filesystem::path& path, const std::string& pointer,
                     const nlohmann::json& value) {
  nlohmann::json content = nlohmann::json::parse(read_file(path));
  content[nlohmann::json::json_pointer(pointer)] = value;
  write_file(path, content.dump());
}

}  // namespace harness::test
