#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace harness {

/// SHA-256 (FIPS 180-4), fed piece by piece.
class Sha256 {
 public:
  Sha256();
  Sha256& update(const void* bytes, std::size_t size);
  Sha256& update(std::string_view text) { return update(text.data(), text.size()); }
  /// The digest as 64 lower-case hexadecimal digits. Nothing may be fed afterwards.
  std::string hex();

 private:
  void block(const unsigned char* bytes);
  std::array<std::uint32_t, 8> state_;
  std::array<unsigned char, 64> pending_;
  std::size_t pending_size_ = 0;
  std::uint64_t total_ = 0;
};

/// SHA-256 of a text, 64 hexadecimal digits.
std::string sha256(std::string_view text);
/// SHA-256 of a file's bytes, read in pieces. Throws Error when it cannot be read.
std::string sha256_file(const std::filesystem::path& path);

}  // namespace harness
