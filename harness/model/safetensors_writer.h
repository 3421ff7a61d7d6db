#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>

namespace harness {

/// Writes a safetensors file (safetensors.h names the format). It is written beside its place and
/// renamed, so that a reader finds the old file or the whole new one; the bytes depend on the
/// arguments only.
/// @param tensors  any device; the data follows the names' order, larger element sizes first, as
/// the
///                 safetensors library lays it out
/// @param metadata free-form strings; transformers wants {"format", "pt"}
/// @throws Error when the file cannot be written; the old one stays
void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, at::Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

/// Writes a text to a file in the same way.
void write_text_file(const std::filesystem::path& path, const std::string& text);

}  // namespace harness
