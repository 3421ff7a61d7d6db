#include "harness/core/paths.h"

#include <fmt/format.h>

#include <cstdlib>

#include "harness/core/error.h"
#include "harness/core/hub.h"

namespace harness {
namespace fs = std::filesystem;
namespace {

fs::path user_cache() {
  return environment("XDG_CACHE_HOME") ? fs::path(environment("XDG_CACHE_HOME"))
                                       : home_folder() / ".cache";
}

fs::path local_path(const std::string& reference) {
  if (reference.starts_with("cache:")) return cache_folder() / reference.substr(6);
  if (reference.starts_with("~/")) return home_folder() / reference.substr(2);
  return reference;
}

}  // namespace

const char* environment(const char* name) {
  const char* value = std::getenv(name);
  return value && *value ? value : nullptr;
}

fs::path home_folder() { return environment("HOME") ? environment("HOME") : "."; }

fs::path cache_folder() {
  if (const char* named = environment("HARNESS_CACHE")) return named;
  return user_cache() / "aaq-harness";
}

fs::path find_model(const std::string& reference) {
  const char* const expected =
      "a snapshot folder, a .gguf file, or org/name or org/name@revision in the local Hugging Face "
      "cache";
  if (reference.empty()) throw Error("model", "no checkpoint is named", expected);
  fs::path path = local_path(reference);
  std::error_code ignored;
  if (fs::exists(path, ignored)) return path;
  std::string looked = fs::absolute(path).string();
  if (reference.starts_with("cache:"))
    throw Error(reference, "there is no file " + looked, "what the set-up fetches",
                "run `bash harness/setup/setup.sh`");
  const auto repository = HubRepository::parse(reference);
  if (!repository)
    throw Error(reference, "there is no file or folder " + looked, expected, "check the path");
  try {
    return hub_snapshot(*repository);
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
