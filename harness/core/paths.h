#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace harness {

/// The per-user cache that the set-up fills: HARNESS_CACHE, else XDG_CACHE_HOME/aaq-harness, else
/// ~/.cache/aaq-harness (harness/cmake/CacheFolder.cmake says the same to the build).
std::filesystem::path cache_folder();

/// The local Hugging Face hub cache, as the hub library finds it: HF_HUB_CACHE, else HF_HOME/hub,
/// else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub.
std::filesystem::path hub_cache_folder();

/// The snapshot folder of `repository` ("org/name") in the hub cache: of refs/main, else the only
/// snapshot. `kind` is "models" or "datasets". Throws an Error that names every place looked at.
std::filesystem::path hub_snapshot(const std::string& kind, const std::string& repository);

/// The folder or file that a model reference names: a path ("cache:FILE" is a file of
/// cache_folder(), "~/FILE" one of the home folder), or org/name in the local Hugging Face cache.
/// @throws Error that names every place looked at
std::filesystem::path find_model(const std::string& reference);

/// Looks for a data file: as given when absolute, else in `data_dir` (the key, --data or
/// HARNESS_DATA) and then from the current folder. Throws an Error that names every place looked
/// at.
std::filesystem::path find_data_file(const std::string& name, const std::string& data_dir);

}  // namespace harness
