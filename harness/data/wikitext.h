#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

/// Rows of a WikiText raw file as Hugging Face `datasets` makes them: a row is a line with its
/// newline, a blank line (nothing but ASCII white space) is the empty string. As Python's text
/// files do, "\r\n" and a lone "\r" count as "\n".
std::vector<std::string> wikitext_rows(std::string_view raw);

/// The split ("test", "train") that a file of this name holds, where the name is one under which
/// WikiText-2's raw files are known: wiki.test.raw of the official archive, wikitext2.test.raw.
std::optional<std::string> wikitext2_split(const std::filesystem::path& file);

/// A file and the part of its path that says where it comes from (for provenance: no machine's
/// folders).
struct WikitextFile {
  std::filesystem::path path;
  std::string source;
};

/// Looks for a split of WikiText-2: the raw file or the hub's Parquet file in `data_dir`, then the
/// Parquet file in the local Hugging Face hub cache, then the Arrow file in the cache of `datasets`
/// (hub.h says where these are).
/// @throws Error that names every place looked at and the command that fetches it
WikitextFile find_wikitext2(const std::string& split, const std::string& data_dir);

/// The rows of a raw, Parquet or Arrow file of that split.
/// @throws Error when it has another number of rows than the published split (test 4,358, train
/// 36,718)
std::vector<std::string> read_wikitext2(const std::filesystem::path& file,
                                        const std::string& split);

}  // namespace harness
