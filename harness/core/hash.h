#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace harness {

/// SHA-256, fed piece by piece (OpenSSL's).
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256& update(const void* bytes, std::size_t size);
  Sha256& update(std::string_view text) { return update(text.data(), text.size()); }
  /// The digest as 64 lower-case hexadecimal digits. Nothing may be fed afterwards.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// SHA-256 of a text, 64 hexadecimal digits.
std::string sha256(std::string_view text);
/// SHA-256 of a file's bytes, read in pieces. Throws Error when it cannot be read.
std::string sha256_file(const std::filesystem::path& path);

}  // namespace harness
