#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "harness/model/safetensors.h"

// What is kept on disk from one run of the harness to the next: a safetensors file that knows what
// it belongs to ("key") and the digest of all that is in it ("sha256"). Whoever finds another
// digest makes it anew.

namespace harness {

/// Writes such a file, as write_safetensors() does.
/// @param key  digest of everything that determines the tensors
/// @param what they are, for people
void keep_tensors(const std::filesystem::path& file, const std::string& key,
                  const std::string& what, const std::map<std::string, at::Tensor>& tensors,
                  std::map<std::string, std::string> metadata = {});

/// Such a file, where it is there, whole and of that key; and marks it as used now. That it is
/// damaged (truncated, a bit flipped) or of another key is logged.
/// @param what for messages
std::optional<SafetensorsFile> find_kept_tensors(const std::filesystem::path& file,
                                                 const std::string& key, const std::string& what);

/// What keep_tensors() was told that they are; empty where the file cannot be read.
std::string kept_what(const std::filesystem::path& file);
/// What is wrong with such a file; empty where it is whole.
std::string damage_of(const std::filesystem::path& file);

}  // namespace harness
