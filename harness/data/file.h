#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace harness {

/// Whether the name ends in .gz or .bz2.
bool is_compressed_name(const std::filesystem::path& path);

/// A UTF-8 file, byte for byte (a byte order mark and "\r" stay); one that is compressed by its
/// name is unpacked.
/// @throws Error: a folder, unreadable, empty, truncated, or not UTF-8 (names the first wrong
/// byte's offset)
/// @param lines  no more of the file is read than so many of its lines
std::string read_text_file(const std::filesystem::path& path,
                           std::size_t lines = std::numeric_limits<std::size_t>::max());

/// The offset of the first byte that is no part of well-formed UTF-8 (Unicode 15, table 3-7).
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

}  // namespace harness
