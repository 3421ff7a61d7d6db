#include "harness/model/protobuf.h"

#include <fmt/format.h>

#include <bit>

#include "harness/core/error.h"

namespace harness {
namespace {

enum Wire : std::uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

}  // namespace

float ProtobufField::as_float() const {
  return std::bit_cast<float>(static_cast<std::uint32_t>(number));
}

ProtobufReader::ProtobufReader(std::string_view bytes, std::string message, std::string where)
    : bytes_(bytes), message_(std::move(message)), where_(std::move(where)) {}

std::optional<ProtobufField> ProtobufReader::next() {
  if (at_ == bytes_.size()) return std::nullopt;
  const std::uint64_t key = varint();
  ProtobufField field;
  field.tag = static_cast<std::uint32_t>(key >> 3);
  if (field.tag == 0 || key >> 32) broken(fmt::format("a field with the key {}", key));
  switch (key & 7) {
    case kVarint:
      field.number = varint();
      break;
    case kFixed64:
      field.number = fixed(8);
      break;
    case kFixed32:
      field.number = fixed(4);
      break;
    case kBytes: {
      const std::uint64_t size = varint();
      if (size > bytes_.size() - at_)
        broken(fmt::format("a field of {} bytes where {} are left", size, bytes_.size() - at_));
      field.bytes = bytes_.substr(at_, size);
      field.has_bytes = true;
      at_ += size;
      break;
    }
    default:
      broken(fmt::format("a field of the wire type {}", key & 7));
  }
  return field;
}

std::uint64_t ProtobufReader::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (at_ == bytes_.size()) broken("the end in the middle of a number");
    const auto byte = static_cast<unsigned char>(bytes_[at_++]);
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  broken("a number of more than 64 bits");
}

std::uint64_t ProtobufReader::fixed(std::size_t size) {
  if (size > bytes_.size() - at_) broken("the end in the middle of a number");
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i)
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes_[at_ + i])) << (8 * i);
  at_ += size;
  return value;
}

void ProtobufReader::broken(const std::string& found) const {
  throw Error(where_, fmt::format("{} at byte {} of {}", found, at_, message_),
              "a whole SentencePiece model (protocol buffers)",
              "the file is cut off or another one: fetch it again");
}

void put_protobuf(std::string& out, std::uint32_t tag, std::string_view bytes) {
  put_varint(out, tag << 3 | kBytes);
  put_varint(out, bytes.size());
  out += bytes;
}

void put_protobuf(std::string& out, std::uint32_t tag, std::uint64_t number) {
  put_varint(out, tag << 3 | kVarint);
  put_varint(out, number);
}

void put_protobuf(std::string& out, std::uint32_t tag, float number) {
  put_varint(out, tag << 3 | kFixed32);
  const auto bits = std::bit_cast<std::uint32_t>(number);
  for (unsigned shift = 0; shift < 32; shift += 8) out += static_cast<char>(bits >> shift);
}

}  // namespace harness
