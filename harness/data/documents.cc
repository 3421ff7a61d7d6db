#include "harness/data/documents.h"

#include <fmt/format.h>

#include <map>

#include "harness/core/error.h"
#include "harness/data/file.h"
#include "harness/data/places.h"
#include "harness/data/rows.h"

namespace harness {
namespace fs = std::filesystem;

namespace {

struct C4Split {
  const char* file;  // of the repository's folder en
  std::size_t documents;
  const char* between;
};
const std::map<std::string, C4Split> kC4{
    {"c4-train", {"c4-train.00000-of-01024.json.gz", 5000, "\n\n"}},
    {"c4-validation", {"c4-validation.00000-of-00008.json.gz", 1100, " "}}};

}  // namespace

bool is_documents_name(const fs::path& path) {
  if (is_compressed_name(path))
    return path.stem().extension() == ".jsonl" || path.stem().extension() == ".json";
  return path.extension() == ".jsonl";
}

std::vector<std::string> read_documents(const fs::path& path, std::size_t most) {
  std::vector<std::string> documents;
  for (const Value& row : read_json_lines(path, most)) {
    const Value* text = row.find("text");
    if (!text || !text->is_string())
      throw Error(row.where(), text ? text->describe() : row.describe(),
                  "a JSON object with a document as its string \"text\"");
    documents.push_back(text->as_string());
  }
  return documents;
}

bool is_c4_text(const std::string& name) { return kC4.contains(name); }

C4File find_c4(const std::string& name, const std::string& data_dir) {
  const std::string file = kC4.at(name).file;
  std::vector<std::string> looked;
  for (const std::string& place : {file, "hub:allenai/c4/en/" + file}) {
    const FoundFiles found = find_place(place, data_dir);
    if (!found.paths.empty()) return {found.paths.front(), found.source};
    looked.insert(looked.end(), found.looked.begin(), found.looked.end());
  }
  throw Error(
      name, "no file of it was found", fmt::format("one of\n    {}", fmt::join(looked, "\n    ")),
      fmt::format("fetch it with `hf download allenai/c4 en/{} --repo-type dataset`", file));
}

std::string read_c4(const std::string& name, const fs::path& file) {
  const C4Split& split = kC4.at(name);
  const std::vector<std::string> documents = read_documents(file, split.documents);
  if (documents.size() < split.documents)
    throw Error(file.string(), fmt::format("{} documents", documents.size()),
                fmt::format("the first {} of C4's file", split.documents),
                "fetch it again, or name the file by its path to read what it holds");
  return fmt::format("{}", fmt::join(documents, split.between));
}

}  // namespace harness
