#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace harness {

/// One field of a protobuf message. Of `number` and `bytes` that one is set which its kind has.
struct ProtobufField {
  std::uint32_t tag = 0;
  std::uint64_t number = 0;  // integers; fixed32 and fixed64: their bits
  std::string_view bytes;    // strings, bytes and messages
  bool has_bytes = false;

  float as_float() const;
};

/// Reads the wire format of protocol buffers (protobuf.dev/programming-guides/encoding), field by
/// field.
class ProtobufReader {
 public:
  /// @param message what the message is, for errors
  ProtobufReader(std::string_view bytes, std::string message, std::string where);
  /// Nothing at the message's end.
  /// @throws Error where the message breaks off or has a kind of field that there is none of
  std::optional<ProtobufField> next();

 private:
  std::uint64_t varint();
  std::uint64_t fixed(std::size_t size);
  [[noreturn]] void broken(const std::string& found) const;

  std::string_view bytes_;
  std::size_t at_ = 0;
  std::string message_, where_;
};

void put_protobuf(std::string& out, std::uint32_t tag, std::string_view bytes);
void put_protobuf(std::string& out, std::uint32_t tag, std::uint64_t number);
void put_protobuf(std::string& out, std::uint32_t tag, float number);

}  // namespace harness
