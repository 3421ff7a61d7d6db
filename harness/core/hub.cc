#include "harness/core/hub.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>

#include "harness/core/error.h"
#include "harness/core/paths.h"
#include "harness/core/text.h"

namespace harness {
namespace fs = std::filesystem;
namespace {

/// "~" and "~/x", then $NAME and ${NAME}, as Python's expanduser and expandvars; a variable that is
/// not set stays as it is written.
fs::path expanded(const std::string& text) {
  std::string result =
      text == "~" || text.starts_with("~/") ? home_folder().string() + text.substr(1) : text;
  for (std::size_t at = 0; (at = result.find('$', at)) != std::string::npos;) {
    const bool braces = at + 1 < result.size() && result[at + 1] == '{';
    const std::size_t begin = at + (braces ? 2 : 1);
    std::size_t end = begin;
    while (end < result.size() &&
           (std::isalnum(static_cast<unsigned char>(result[end])) || result[end] == '_'))
      ++end;
    const bool closed = !braces || (end < result.size() && result[end] == '}');
    const char* value =
        closed && end > begin ? environment(result.substr(begin, end - begin).c_str()) : nullptr;
    if (!value) {
      ++at;
      continue;
    }
    result.replace(at, end + (braces ? 1 : 0) - at, value);
    at += std::string_view(value).size();
  }
  return result;
}

fs::path hugging_face_home() {
  if (const char* named = environment("HF_HOME")) return expanded(named);
  if (const char* cache = environment("XDG_CACHE_HOME")) return expanded(cache) / "huggingface";
  return home_folder() / ".cache" / "huggingface";
}

bool all_of(std::string_view text, std::string_view allowed) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || allowed.find(c) != allowed.npos;
  });
}

bool is_commit(std::string_view revision) {
  return revision.size() == 40 && revision.find_first_not_of("0123456789abcdef") == revision.npos;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// Every reference by name ("main", "refs/pr/1").
std::vector<std::string> references_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(folder, ignored))
    if (entry.is_regular_file(ignored))
      names.push_back(entry.path().lexically_relative(folder).generic_string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string read_reference(const fs::path& file) {
  std::ifstream in(file);
  std::string commit;
  in >> commit;
  return all_of(commit, "") ? commit : std::string();  // the name of a folder, and of nothing else
}

/// What is visible of a gated repository without access, and what transformers leaves of it.
bool is_small_file(std::string_view name) {
  constexpr std::array<std::string_view, 8> kSmall = {".gitattributes",
                                                      "README.md",
                                                      "LICENSE",
                                                      "LICENSE.txt",
                                                      "USE_POLICY.md",
                                                      "config.json",
                                                      "generation_config.json",
                                                      "params.json"};
  return std::find(kSmall.begin(), kSmall.end(), name) != kSmall.end();
}

std::string gated_remedy(const HubRepository& repository) {
  return fmt::format(
      "accept its terms on its page of huggingface.co, log in with `hf auth login`, then `{}`",
      repository.download_command());
}

}  // namespace

fs::path hub_cache_folder() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (const char* named = environment(name)) return expanded(named);
  return hugging_face_home() / "hub";
}

fs::path datasets_cache_folder() {
  if (const char* named = environment("HF_DATASETS_CACHE")) return expanded(named);
  return hugging_face_home() / "datasets";
}

std::optional<HubRepository> HubRepository::parse(std::string_view text) {
  HubRepository repository;
  if (const std::size_t at = text.find('@'); at != text.npos) {
    repository.revision = text.substr(at + 1);
    text = text.substr(0, at);
  }
  repository.name = text;
  const std::size_t slash = text.find('/');
  if (slash == text.npos || slash == 0 || slash + 1 == text.size() || text.front() == '.' ||
      text[slash + 1] == '.' || !all_of(text.substr(0, slash), "-_.") ||
      !all_of(text.substr(slash + 1), "-_.") || text.find("..") != text.npos ||
      text.find("--") != text.npos || text.ends_with(".gguf"))
    return std::nullopt;
  const std::string& revision = repository.revision;
  if (revision.empty() || revision.front() == '/' || revision.back() == '/' ||
      !all_of(revision, "-_./") || revision.find("..") != revision.npos)
    return std::nullopt;
  return repository;
}

fs::path HubRepository::folder() const {
  std::string folder_name = kind + "--" + name;
  for (std::size_t at; (at = folder_name.find('/')) != std::string::npos;)
    folder_name.replace(at, 1, "--");
  return hub_cache_folder() / folder_name;
}

std::string HubRepository::text() const {
  return revision == "main" ? name : fmt::format("{}@{}", name, revision);
}

std::string HubRepository::download_command() const {
  return fmt::format("hf download {}{}{}", name,
                     revision == "main" ? "" : " --revision " + revision,
                     kind == "datasets" ? " --repo-type dataset" : "");
}

fs::path hub_snapshot(const HubRepository& repository) {
  const fs::path folder = repository.folder(), snapshots = folder / "snapshots";
  const std::string fetch = fmt::format("fetch it with `{}`", repository.download_command());
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored))
    throw Error(repository.text(),
                fmt::format("not in the Hugging Face cache (looked for {})", folder.string()),
                "a downloaded snapshot", fetch + ", or set HF_HUB_CACHE");
  const std::vector<std::string> held = names_in(snapshots);
  std::string commit = repository.revision;
  if (!is_commit(commit)) commit = read_reference(folder / "refs" / repository.revision);
  if (!commit.empty()) {
    if (!names_in(snapshots / commit).empty()) return snapshots / commit;
    throw Error(
        repository.text(),
        fmt::format("the Hugging Face cache knows commit {} and holds no file of it (looked "
                    "in {}): the download was refused, as for a gated repository, or "
                    "broke off",
                    commit, snapshots.string()),
        "a downloaded snapshot", gated_remedy(repository));
  }
  if (repository.revision == "main" && held.size() == 1) return snapshots / held.front();
  if (repository.revision == "main")
    throw Error(folder.string(),
                fmt::format("{} snapshots and no refs/main that names one", held.size()),
                "refs/main or exactly one snapshot",
                fetch + ", or name a commit: " + repository.name + "@COMMIT");
  const std::vector<std::string> references = references_in(folder / "refs");
  throw Error(repository.text(),
              fmt::format("revision {} is not in the Hugging Face cache (looked for {})",
                          repository.revision, (folder / "refs" / repository.revision).string()),
              fmt::format("one of those there: {}",
                          fmt::join(references.empty() ? held : references, ", ")),
              fetch);
}

std::string HubSnapshot::state() const {
  if (!broken.empty() || unfinished > 0) {
    std::vector<std::string> parts;
    if (!broken.empty())
      parts.push_back(fmt::format("without content: {}", fmt::join(broken, ", ")));
    if (unfinished > 0)
      parts.push_back(fmt::format("{} files of which {} have come", unfinished,
                                  human_bytes(static_cast<double>(unfinished_bytes))));
    return fmt::format("the download of {} broke off ({})", repository.text(),
                       fmt::join(parts, "; "));
  }
  if (std::all_of(files.begin(), files.end(), is_small_file))
    return fmt::format("the download of {} holds only {}, as of a gated repository without access",
                       repository.text(), fmt::join(files, ", "));
  return {};
}

std::string HubSnapshot::remedy() const {
  const bool broke_off = !broken.empty() || unfinished > 0;
  return broke_off || state().empty()
             ? fmt::format("fetch what is missing with `{}`", repository.download_command())
             : gated_remedy(repository);
}

std::optional<HubSnapshot> inspect_hub_snapshot(const fs::path& place) {
  const fs::path folder = place.has_filename() ? place : place.parent_path();
  const fs::path home = folder.parent_path().parent_path();
  const std::string name = home.filename().string();
  HubSnapshot snapshot;
  for (const char* kind : {"models", "datasets"})
    if (const std::string prefix = std::string(kind) + "--"; name.starts_with(prefix)) {
      snapshot.repository.kind = kind;
      snapshot.repository.name = name.substr(prefix.size());
    }
  std::string& repository = snapshot.repository.name;
  if (repository.empty() || folder.parent_path().filename() != "snapshots") return std::nullopt;
  if (const std::size_t at = repository.find("--"); at != std::string::npos)
    repository.replace(at, 2, "/");
  const std::string commit = folder.filename().string();
  snapshot.repository.revision = commit;
  for (const std::string& reference : references_in(home / "refs"))
    if (read_reference(home / "refs" / reference) == commit) {
      snapshot.repository.revision = reference;
      if (reference == "main") break;
    }
  if (references_in(home / "refs").empty()) snapshot.repository.revision = "main";

  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(folder, ignored)) {
    if (entry.is_directory(ignored)) continue;
    const std::string file = entry.path().lexically_relative(folder).generic_string();
    (fs::exists(entry.path(), ignored) ? snapshot.files : snapshot.broken).push_back(file);
  }
  std::sort(snapshot.files.begin(), snapshot.files.end());
  std::sort(snapshot.broken.begin(), snapshot.broken.end());
  for (const auto& entry : fs::directory_iterator(home / "blobs", ignored))
    if (entry.path().extension() == ".incomplete") {
      ++snapshot.unfinished;
      snapshot.unfinished_bytes += entry.file_size(ignored);
    }
  return snapshot;
}

}  // namespace harness
