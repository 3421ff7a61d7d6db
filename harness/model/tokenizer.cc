#include "harness/model/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "harness/core/error.h"
#include "harness/core/paths.h"
#include "harness/model/mapped_file.h"
#include "harness/model/pipeline_tokenizer.h"
#include "harness/model/sentencepiece.h"
#include "harness/model/tokenizer_gguf.h"
#include "harness/model/tokenizer_json.h"
#include "harness/model/tokenizer_tiktoken.h"

namespace harness {
namespace fs = std::filesystem;

namespace {

/// The file in a model's folder that holds its tokenizer.
fs::path file_in_folder(const fs::path& folder) {
  for (const char* name : {"tokenizer.json", "tokenizer.model"})
    if (fs::exists(folder / name)) return folder / name;
  std::vector<fs::path> gguf;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".gguf") gguf.push_back(entry.path());
  }
  if (gguf.size() == 1) return gguf.front();
  std::string found =
      gguf.empty()
          ? "no tokenizer.json, no tokenizer.model and no .gguf file"
          : fmt::format("no tokenizer.json, no tokenizer.model and {} .gguf files", gguf.size());
  if (fs::exists(folder / "vocab.json")) found += ", but a vocab.json";
  throw Error(folder.string(), "the folder has " + found, "tokenizer.json or tokenizer.model",
              "copy the model's tokenizer.json there, or write one with transformers' "
              "AutoTokenizer.from_pretrained(...).save_pretrained(...)");
}

/// Two kinds of files are called tokenizer.model, and Mistral's end in .model.v3: what they hold
/// tells.
TokenizerParts read_model_file(const fs::path& path) {
  const MappedFile file(path);
  const std::string_view beginning(reinterpret_cast<const char*>(file.data()),
                                   std::min<std::size_t>(file.size(), 4096));
  if (beginning.starts_with("version https://git-lfs"))
    throw Error(path.string(), "the pointer that git keeps instead of a large file",
                "the file itself", "run `git lfs pull` where it was cloned, or download it");
  return is_tiktoken(beginning) ? read_tokenizer_tiktoken(path)
                                : read_tokenizer_sentencepiece(path);
}

TokenizerParts read_parts(const fs::path& file) {
  const std::string name = file.filename().string();
  if (name.ends_with(".gguf")) return read_tokenizer_gguf(file);
  if (name.ends_with(".json")) return read_tokenizer_json(file);
  if (name.ends_with(".model") || name.find(".model.") != std::string::npos)
    return read_model_file(file);
  throw Error(file.string(),
              fmt::format("a tokenizer with the extension \"{}\" is not supported",
                          file.extension().string()),
              "tokenizer.json, tokenizer.model or a .gguf file");
}

}  // namespace

fs::path find_tokenizer_file(const std::string& reference) {
  fs::path file = find_model(reference);
  return fs::is_directory(file) ? file_in_folder(file) : file;
}

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& reference) {
  return std::make_unique<PipelineTokenizer>(read_parts(find_tokenizer_file(reference)));
}

}  // namespace harness
