#include "harness/model/tokenizer.h"

#include <fmt/format.h>

#include <filesystem>

#include "harness/core/error.h"
#include "harness/core/paths.h"
#include "harness/model/byte_level_tokenizer.h"
#include "harness/model/tokenizer_gguf.h"
#include "harness/model/tokenizer_json.h"

namespace harness {
namespace fs = std::filesystem;

namespace {

/// The file in a model's folder that holds its tokenizer.
fs::path file_in_folder(const fs::path& folder) {
  if (fs::exists(folder / "tokenizer.json")) return folder / "tokenizer.json";
  std::vector<fs::path> gguf;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".gguf") gguf.push_back(entry.path());
  }
  if (gguf.size() == 1) return gguf.front();
  std::string found = gguf.empty()
                          ? "no tokenizer.json and no .gguf file"
                          : fmt::format("no tokenizer.json and {} .gguf files", gguf.size());
  if (fs::exists(folder / "tokenizer.model")) found += ", but a tokenizer.model (SentencePiece)";
  if (fs::exists(folder / "vocab.json")) found += ", but a vocab.json";
  throw Error(folder.string(), "the folder has " + found, "tokenizer.json",
              "copy the model's tokenizer.json there, or write one with transformers' "
              "AutoTokenizer.from_pretrained(...).save_pretrained(...)");
}

}  // namespace

fs::path find_tokenizer_file(const std::string& reference) {
  fs::path file = find_model(reference);
  return fs::is_directory(file) ? file_in_folder(file) : file;
}

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& reference) {
  const fs::path file = find_tokenizer_file(reference);
  if (file.extension() == ".gguf")
    return std::make_unique<ByteLevelTokenizer>(read_tokenizer_gguf(file));
  if (file.extension() == ".json")
    return std::make_unique<ByteLevelTokenizer>(read_tokenizer_json(file));
  throw Error(file.string(),
              fmt::format("a tokenizer with the extension \"{}\" is not supported",
                          file.extension().string()),
              "tokenizer.json or a .gguf file");
}

}  // namespace harness
