#include "harness/data/file.h"

#include <arrow/io/compressed.h>
#include <arrow/io/file.h>
#include <arrow/util/compression.h>
#include <fmt/format.h>

#include <array>
#include <fstream>

#include "harness/core/error.h"
#include "harness/data/arrow_result.h"

namespace harness {
namespace fs = std::filesystem;
namespace {

constexpr const char* kExpectedPacked = "a whole compressed file";

/// Puts pieces together until a source is at its end, or has given so many lines.
/// @param read  puts bytes into a buffer and returns how many; 0 at the end
template <class Read>
std::string read_lines(std::size_t lines, const Read& read) {
  std::string text;
  std::array<char, 1 << 16> piece;
  while (const std::size_t count = read(piece.data(), piece.size())) {
    const std::size_t before = text.size();
    text.append(piece.data(), count);
    for (std::size_t end = text.find('\n', before); end != std::string::npos;
         end = text.find('\n', end + 1))
      if (--lines == 0) return text.substr(0, end + 1);
  }
  return text;
}

std::string unpack(const fs::path& path, std::size_t lines) {
  const auto codec =
      value_of(arrow::util::Codec::Create(path.extension() == ".gz" ? arrow::Compression::GZIP
                                                                    : arrow::Compression::BZ2),
               path, kExpectedPacked);
  const auto stream =
      value_of(arrow::io::CompressedInputStream::Make(
                   codec.get(),
                   value_of(arrow::io::ReadableFile::Open(path.string()), path, kExpectedPacked)),
               path, kExpectedPacked);
  return read_lines(lines, [&](char* to, std::size_t size) {
    return static_cast<std::size_t>(
        value_of(stream->Read(static_cast<std::int64_t>(size), to), path, kExpectedPacked));
  });
}

std::string read_bytes(const fs::path& path, std::size_t lines) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes = read_lines(lines, [&](char* to, std::size_t size) {
    in.read(to, static_cast<std::streamsize>(size));
    return static_cast<std::size_t>(in.gcount());
  });
  if (in.bad() || (in.fail() && !in.eof()))
    throw Error(path.string(), "cannot be read", "a UTF-8 text file",
                "check that it exists and its permissions");
  return bytes;
}

}  // namespace

bool is_compressed_name(const fs::path& path) {
  return path.extension() == ".gz" || path.extension() == ".bz2";
}

std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xc2 && lead < 0xe0 ? 2
                               : lead >= 0xe0 && lead < 0xf0 ? 3
                               : lead >= 0xf0 && lead < 0xf5 ? 4
                                                             : 0;
    if (length == 0 || i + length > text.size()) return i;
    for (std::size_t k = 1; k < length; ++k) {
      const auto byte = static_cast<unsigned char>(text[i + k]);
      // The second byte's range excludes overlong forms, surrogates and code points above U+10FFFF.
      const unsigned low = k > 1 ? 0x80 : lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
      const unsigned high = k > 1 ? 0xbf : lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
      if (byte < low || byte > high) return i;
    }
    i += length;
  }
  return std::nullopt;
}

std::string read_text_file(const fs::path& path, std::size_t lines) {
  if (fs::is_directory(path)) throw Error(path.string(), "a folder", "a UTF-8 text file");
  const std::string text = is_compressed_name(path) ? unpack(path, lines) : read_bytes(path, lines);
  if (text.empty()) throw Error(path.string(), "an empty file", "a UTF-8 text file");
  if (const auto offset = find_invalid_utf8(text))
    throw Error(path.string(), fmt::format("invalid UTF-8 at byte {}", *offset), "UTF-8 text",
                "convert it, for instance with `iconv -t UTF-8`");
  return text;
}

}  // namespace harness
