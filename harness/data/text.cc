#include "harness/data/text.h"

#include <fmt/format.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/core/paths.h"
#include "harness/core/text.h"
#include "harness/data/boolq_wiki.h"
#include "harness/data/file.h"
#include "harness/data/wikitext.h"

namespace harness {
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kNamedTexts{"boolq-wiki-calibrate", "boolq-wiki-measure",
                                           "wikitext2-test", "wikitext2-train"};

/// A text whose file is found and not yet read.
struct LocatedText {
  std::string name, source;
  fs::path path;
  std::function<std::string()> read;
};

std::string join_rows(const std::vector<std::string>& rows) {
  return fmt::format("{}", fmt::join(rows, "\n\n"));
}

LocatedText locate_boolq_wiki(const std::string& name) {
  return {name, kBoolqValidation, find_boolq_validation(),
          [measure = name == "boolq-wiki-measure"] {
            const PassageHalves& halves = boolq_wiki_halves();
            return join_rows(measure ? halves.measure : halves.calibrate);
          }};
}

LocatedText locate_wikitext2(const std::string& split, const WikitextFile& file) {
  return {"wikitext2-" + split, file.source, file.path,
          [split, path = file.path] { return join_rows(read_wikitext2(path, split)); }};
}

LocatedText locate_file(const std::string& name, const std::string& data_dir) {
  fs::path path;
  try {
    path = find_data_file(name, data_dir);
  } catch (const Error& missing) {
    const std::string hint = did_you_mean(name, kNamedTexts);
    throw Error(fmt::format("{}; a text is {} or the path of a UTF-8 file{}{}", missing.what(),
                            fmt::join(kNamedTexts, ", "), hint.empty() ? "" : "; ", hint));
  }
  if (fs::is_directory(path)) throw Error(path.string(), "a folder", "a UTF-8 text file");
  const std::string file_name = path.filename().string();
  if (const auto split = wikitext2_split(path)) return locate_wikitext2(*split, {path, file_name});
  return {file_name, file_name, path, [path] { return read_text_file(path); }};
}

LocatedText locate(const std::string& name, const std::string& data_dir) {
  if (name == "boolq-wiki-measure" || name == "boolq-wiki-calibrate")
    return locate_boolq_wiki(name);
  if (name == "wikitext2-test" || name == "wikitext2-train") {
    const std::string split = name.substr(std::string("wikitext2-").size());
    return locate_wikitext2(split, find_wikitext2(split, data_dir));
  }
  return locate_file(name, data_dir);
}

}  // namespace

std::string text_name(const std::string& name) {
  const fs::path path(name);
  const auto split = wikitext2_split(path);
  return split ? "wikitext2-" + *split : path.filename().string();
}

void check_text(const std::string& name, const std::string& data_dir) { locate(name, data_dir); }

TextCorpus load_text(const std::string& name, const std::string& data_dir) {
  const LocatedText located = locate(name, data_dir);
  TextCorpus corpus{located.name, located.read(), {}, located.source};
  if (corpus.text.empty())
    throw Error(located.path.string(), "no text", "a text that is not empty");
  if (const auto offset = find_invalid_utf8(corpus.text))
    throw Error(located.path.string(),
                fmt::format("invalid UTF-8 at byte {} of the joined rows", *offset), "UTF-8 text");
  corpus.digest = sha256(corpus.text);
  return corpus;
}

}  // namespace harness
