#include "harness/data/file.h"

#include <arrow/io/compressed.h>
#include <arrow/io/file.h>
#include <arrow/util/compression.h>
#include <fmt/format.h>

#include <array>
#include <fstream>
#include <sstream>

#include "harness/core/error.h"
#include "harness/data/arrow_result.h"

namespace harness {
namespace fs = std::filesystem;
namespace {

constexpr const char* kExpectedPacked = "a whole compressed file";

std::string unpack(const fs::path& path) {
  const auto codec =
      value_of(arrow::util::Codec::Create(path.extension() == ".gz" ? arrow::Compression::GZIP
                                                                    : arrow::Compression::BZ2),
               path, kExpectedPacked);
  const auto stream =
      value_of(arrow::io::CompressedInputStream::Make(
                   codec.get(),
                   value_of(arrow::io::ReadableFile::Open(path.string()), path, kExpectedPacked)),
               path, kExpectedPacked);
  std::string text;
  std::array<char, 1 << 16> piece;
  while (true) {
    const std::int64_t count =
        value_of(stream->Read(piece.size(), piece.data()), path, kExpectedPacked);
    if (count == 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(count));
  }
}

std::string read_bytes(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream bytes;
  if (!in || (in.peek() != std::ifstream::traits_type::eof() && !(bytes << in.rdbuf())))
    throw Error(path.string(), "cannot be read", "a UTF-8 text file",
                "check that it exists and its permissions");
  return std::move(bytes).str();
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

std::string read_text_file(const fs::path& path) {
  if (fs::is_directory(path)) throw Error(path.string(), "a folder", "a UTF-8 text file");
  const std::string text = is_compressed_name(path) ? unpack(path) : read_bytes(path);
  if (text.empty()) throw Error(path.string(), "an empty file", "a UTF-8 text file");
  if (const auto offset = find_invalid_utf8(text))
    throw Error(path.string(), fmt::format("invalid UTF-8 at byte {}", *offset), "UTF-8 text",
                "convert it, for instance with `iconv -t UTF-8`");
  return text;
}

}  // namespace harness
