#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "harness/model/mapped_file.h"

// GGUF, the container of ggml (versions 2 and 3, little-endian): docs/gguf.md of ggml-org/ggml.

namespace harness {

/// One metadata value. Integers of every width are int64, floats of both widths double; an array of
/// booleans is one of integers.
using GgufValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>,
                               std::vector<double>, std::vector<std::string>>;

/// One storage type of ggml: `elements` consecutive values take `bytes` bytes.
struct GgmlType {
  std::uint32_t id;
  const char* name;  // "F32", "Q4_1"
  std::int64_t elements;
  std::int64_t bytes;
};
/// The type with that number, or null when ggml has none (or has removed it).
const GgmlType* ggml_type(std::uint32_t id);

struct GgufTensor {
  std::string name;  // as stored: "blk.0.attn_q.weight"
  std::vector<std::int64_t>
      shape;  // row-major, outermost first (the file has it the other way round)
  const GgmlType* type;
  std::uint64_t offset;  // from the start of the file
  std::uint64_t bytes;
};

/// A GGUF file with its header read and its data mapped. All sizes are checked: every tensor lies
/// in the file and none overlaps another.
struct GgufFile {
  std::map<std::string, GgufValue> metadata;
  std::vector<GgufTensor> tensors;  // in the file's order
  std::uint64_t data_start = 0;     // end of the header, aligned
  std::shared_ptr<const MappedFile> file;

  /// First byte of a tensor. Valid as long as `file` is held.
  const std::byte* data(const GgufTensor& tensor) const { return file->data() + tensor.offset; }
  /// Null when there is no such tensor.
  const GgufTensor* find_tensor(std::string_view name) const;

  /// The metadata value of that key; null when the key is absent.
  /// @throws Error when the key is there with another type than T, one of GgufValue's
  template <class T>
  const T* find(const std::string& key) const {
    const GgufValue* value = find_value(key);
    if (!value) return nullptr;
    const T* typed = std::get_if<T>(value);
    if (!typed) wrong_type(key, *value, GgufValue(T{}));
    return typed;
  }
  /// As find(), but absence is an Error as well.
  template <class T>
  const T& get(const std::string& key) const {
    const T* found = find<T>(key);
    if (!found) missing(key);
    return *found;
  }

 private:
  const GgufValue* find_value(const std::string& key) const;
  [[noreturn]] void wrong_type(const std::string& key, const GgufValue& found,
                               const GgufValue& wanted) const;
  [[noreturn]] void missing(const std::string& key) const;
};

/// Reads the header and maps the rest.
/// @throws Error: no GGUF, another version, truncated, a header larger than the file, an unknown
/// tensor type,
///         tensors that overlap or end beyond the file
GgufFile read_gguf(const std::filesystem::path& path);

}  // namespace harness
