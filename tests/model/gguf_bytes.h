#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace harness::test {

/// Bytes of a GGUF file, put together by hand.
struct Bytes {
  std::string all;

  template <class T>
  Bytes& number(T value) {
    all.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  Bytes& text(const std::string& value) {
    number<std::uint64_t>(value.size());
    all += value;
    return *this;
  }
  /// An array value of strings, with its types.
  Bytes& strings(const std::vector<std::string>& values) {
    number<std::uint32_t>(9).number<std::uint32_t>(8).number<std::uint64_t>(values.size());
    for (const std::string& value : values) text(value);
    return *this;
  }
  /// An array value of numbers of a GGUF type (4: uint32, 5: int32, 6: float32), with its types.
  template <class T>
  Bytes& numbers(std::uint32_t type, const std::vector<T>& values) {
    number<std::uint32_t>(9).number(type).number<std::uint64_t>(values.size());
    for (const T& value : values) number(value);
    return *this;
  }
  Bytes& header(std::uint64_t tensors, std::uint64_t metadata, std::uint32_t version = 3) {
    all += "GGUF";
    return number(version).number(tensors).number(metadata);
  }
  /// A tensor of float32 (type 0) with that shape, innermost size first.
  Bytes& tensor(const std::string& name, std::vector<std::uint64_t> sizes, std::uint64_t offset,
                std::uint32_t type = 0) {
    text(name).number(static_cast<std::uint32_t>(sizes.size()));
    for (std::uint64_t size : sizes) number(size);
    return number(type).number(offset);
  }
  /// Pads to the data section and appends `bytes` of it.
  Bytes& data(std::size_t bytes) {
    all.resize((all.size() + 31) / 32 * 32 + bytes, '\1');
    return *this;
  }
};

}  // namespace harness::test
