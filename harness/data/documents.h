#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

namespace harness {

/// Whether the name is that of JSON lines, compressed or not: .jsonl, .jsonl.gz, .json.gz (as C4
/// has it), and with .bz2.
bool is_documents_name(const std::filesystem::path& path);

/// The documents of JSON lines, an object with a string "text" each; of a file of more than `most`
/// only the first, and no more of the file is read.
/// @throws Error that names file and line of what is malformed
std::vector<std::string> read_documents(const std::filesystem::path& path,
                                        std::size_t most = std::numeric_limits<std::size_t>::max());

/// English C4 (allenai/c4) as quantization papers take it, from the first file of a split:
/// "c4-train" the first 5,000 documents, joined with an empty line, to draw calibration windows
/// from; "c4-validation" the first 1,100, joined with a space (GPTQ's released evaluation).
bool is_c4_text(const std::string& name);

struct C4File {
  std::filesystem::path path;
  std::string source;  // for provenance: no machine's folders
};
/// In `data_dir`, under its own name, else in the local Hugging Face cache.
/// @throws Error that names every place looked at and the command that fetches it
C4File find_c4(const std::string& name, const std::string& data_dir);
std::string read_c4(const std::string& name, const std::filesystem::path& file);

}  // namespace harness
