#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace harness {

/// The per-user cache that the set-up fills: HARNESS_CACHE, else XDG_CACHE_HOME/aaq-harness, else
/// ~/.cache/aaq-harness (harness/cmake/CacheFolder.cmake says the same to the build).
std::filesystem::path cache_folder();

/// A variable of the environment; null where it is not set or empty.
const char* environment(const char* name);
/// HOME, else the current folder.
std::filesystem::path home_folder();

/// The folder or file that a model reference names: a path ("cache:FILE" is a file of
/// cache_folder(), "~/FILE" one of the home folder), or org/name or org/name@revision in the local
/// Hugging Face cache (hub.h).
/// @throws Error that names every place looked at
std::filesystem::path find_model(const std::string& reference);

/// Looks for a data file: as given when absolute, else in `data_dir` (the key, --data or
/// HARNESS_DATA) and then from the current folder. Throws an Error that names every place looked
/// at.
std::filesystem::path find_data_file(const std::string& name, const std::string& data_dir);

}  // namespace harness
