#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// The local Hugging Face cache, read as huggingface_hub 1.x lays it out: KIND--ORG--NAME/ with
// refs/REVISION (the commit's name), snapshots/COMMIT/FILE (links into blobs/) and .no_exist/.
// Nothing is fetched.

namespace harness {

/// HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub,
/// else ~/.cache/huggingface/hub, with ~ and $NAME in them (huggingface_hub/constants.py). A
/// variable that is set to nothing counts as not set.
std::filesystem::path hub_cache_folder();

/// The cache of the library `datasets`: HF_DATASETS_CACHE, else HF_HOME/datasets, else
/// XDG_CACHE_HOME/huggingface/datasets, else ~/.cache/huggingface/datasets.
std::filesystem::path datasets_cache_folder();

/// A repository of the hub at a revision: a branch, a tag or a commit.
struct HubRepository {
  std::string name;             // "org/name"
  std::string kind = "models";  // or "datasets"
  std::string revision = "main";

  /// "org/name" or "org/name@revision"; none where the text is no such name.
  static std::optional<HubRepository> parse(std::string_view text);
  /// Where the cache has it, whether or not it is there.
  std::filesystem::path folder() const;
  std::string text() const;
  /// The command that fetches it, or what is missing of it.
  std::string download_command() const;
};

/// The snapshot's folder: of the commit, or of what refs/ says of the revision, or, for "main"
/// without such a reference, the only one there is.
/// @throws Error that names the place looked at and the command that fetches it; a download that
/// was refused or broke off before its first file is named as that
std::filesystem::path hub_snapshot(const HubRepository& repository);

/// A snapshot's folder, and what its download left undone.
struct HubSnapshot {
  HubRepository repository;
  std::vector<std::string> broken;  // files whose link leads to no content
  std::size_t unfinished = 0;       // blobs that are still called .incomplete
  std::uint64_t unfinished_bytes = 0;
  std::vector<std::string> files;  // what is there, by name

  /// Why something is not there: a download that broke off, or a gated repository, whose README and
  /// small files anyone sees. Empty where neither shows.
  std::string state() const;
  /// What to do about it.
  std::string remedy() const;
};

/// None where the folder is not one of a hub cache.
std::optional<HubSnapshot> inspect_hub_snapshot(const std::filesystem::path& folder);

}  // namespace harness
