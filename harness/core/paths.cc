#include "harness/core/paths.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>

#include "harness/core/error.h"

namespace harness {
namespace fs = std::filesystem;
namespace {

/// A set, non-empty variable of the environment, or nothing.
const char* variable(const char* name) {
  const char* value = std::getenv(name);
  return value && *value ? value : nullptr;
}

fs::path home() { return variable("HOME") ? fs::path(variable("HOME")) : fs::path("."); }

fs::path user_cache() {
  return variable("XDG_CACHE_HOME") ? fs::path(variable("XDG_CACHE_HOME")) : home() / ".cache";
}

fs::path local_path(const std::string& reference) {
  if (reference.starts_with("cache:")) return cache_folder() / reference.substr(6);
  if (reference.starts_with("~/")) return home() / reference.substr(2);
  return reference;
}

bool is_repository_name(const std::string& reference) {
  auto slash = reference.find('/');
  return slash != std::string::npos && slash > 0 && slash + 1 < reference.size() &&
         reference.find('/', slash + 1) == std::string::npos &&
         reference.find_first_of(" \\:~") == std::string::npos && reference[0] != '.' &&
         !reference.ends_with(".gguf");
}

}  // namespace

fs::path cache_folder() {
  if (const char* named = variable("HARNESS_CACHE")) return named;
  return user_cache() / "aaq-harness";
}

fs::path hub_cache_folder() {
  if (const char* named = variable("HF_HUB_CACHE")) return named;
  if (const char* named = variable("HF_HOME")) return fs::path(named) / "hub";
  return user_cache() / "huggingface" / "hub";
}

fs::path hub_snapshot(const std::string& kind, const std::string& repository) {
  std::string folder_name = kind + "--" + repository;
  for (std::size_t at; (at = folder_name.find('/')) != std::string::npos;)
    folder_name.replace(at, 1, "--");
  fs::path folder = hub_cache_folder() / folder_name;
  if (!fs::is_directory(folder))
    throw Error(repository,
                fmt::format("not in the Hugging Face cache (looked for {})", folder.string()),
                "a downloaded snapshot",
                fmt::format("fetch it with `hf download {}{}`, or set HF_HUB_CACHE", repository,
                            kind == "datasets" ? " --repo-type dataset" : ""));
  std::ifstream reference(folder / "refs" / "main");
  std::string revision;
  if (reference >> revision && fs::is_directory(folder / "snapshots" / revision))
    return folder / "snapshots" / revision;
  std::vector<fs::path> snapshots;
  if (fs::is_directory(folder / "snapshots"))
    for (const auto& entry : fs::directory_iterator(folder / "snapshots"))
      snapshots.push_back(entry.path());
  if (snapshots.size() == 1) return snapshots.front();
  throw Error(folder.string(),
              fmt::format("{} snapshots and no refs/main that names one", snapshots.size()),
              "refs/main or exactly one snapshot", "give the snapshot's folder instead");
}

fs::path find_model(const std::string& reference) {
  const char* const expected =
      "a snapshot folder, a .gguf file or org/name in the local Hugging Face cache";
  if (reference.empty()) throw Error("model", "no checkpoint is named", expected);
  fs::path path = local_path(reference);
  std::error_code ignored;
  if (fs::exists(path, ignored)) return path;
  std::string looked = fs::absolute(path).string();
  if (reference.starts_with("cache:"))
    throw Error(reference, "there is no file " + looked, "what the set-up fetches",
                "run `bash harness/setup/setup.sh`");
  if (!is_repository_name(reference))
    throw Error(reference, "there is no file or folder " + looked, expected, "check the path");
  try {
    return hub_snapshot("models", reference);
  } catch (const Error& error) {
    throw Error(
        fmt::format("{}: there is no file or folder {}, and in the local Hugging Face cache: {}",
                    reference, looked, error.what()));
  }
}

fs::path find_data_file(const std::string& name, const std::string& data_dir) {
  std::vector<fs::path> places;
  if (fs::path(name).is_absolute()) {
    places.push_back(name);
  } else {
    if (!data_dir.empty()) places.push_back(fs::path(data_dir) / name);
    places.push_back(name);
  }
  std::string looked;
  for (const fs::path& place : places) {
    if (fs::exists(place)) return place;
    looked += (looked.empty() ? "" : ", ") + fs::absolute(place).string();
  }
  throw Error(
      name, "no such file; looked for " + looked, "a file at one of these places",
      data_dir.empty() ? "name the folder of your data with --data, data_dir or HARNESS_DATA" : "");
}

}  // namespace harness
