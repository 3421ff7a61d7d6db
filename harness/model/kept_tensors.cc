#include "harness/model/kept_tensors.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/core/log.h"
#include "harness/model/safetensors_writer.h"
#include "harness/model/tensor_checkpoint.h"

namespace harness {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKey = "key";
constexpr const char* kWhat = "what";
constexpr const char* kDigest = "sha256";

std::string metadata_of(const SafetensorsFile& file, const char* name) {
  const auto found = file.metadata().find(name);
  return found == file.metadata().end() ? std::string() : found->second;
}

/// Of tensors and metadata.
std::string content_digest(const std::map<std::string, at::Tensor>& tensors,
                           const std::map<std::string, std::string>& metadata) {
  Sha256 digest;
  for (const auto& [name, text] : metadata)
    if (name != kDigest) digest.update(fmt::format("{} {} {}\n", name, text.size(), text));
  return digest.update(digest_of(tensors)).hex();
}

std::string damage_of(const SafetensorsFile& file) {
  const std::string written = metadata_of(file, kDigest);
  if (written.empty()) return "it has no digest (an older harness wrote it)";
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, entry] : file.entries()) tensors[name] = file.load(name);
  const std::string found = content_digest(tensors, file.metadata());
  if (found == written) return "";
  return fmt::format("its content has the SHA-256 {}, not {} as it was written",
                     found.substr(0, 12), written.substr(0, 12));
}

}  // namespace

void keep_tensors(const fs::path& file, const std::string& key, const std::string& what,
                  const std::map<std::string, at::Tensor>& tensors,
                  std::map<std::string, std::string> metadata) {
  std::map<std::string, at::Tensor> here;  // brought to the CPU once
  for (const auto& [name, tensor] : tensors) here[name] = tensor.detach().cpu().contiguous();
  metadata[kKey] = key;
  metadata[kWhat] = what;
  metadata[kDigest] = content_digest(here, metadata);
  write_safetensors(file, here, metadata);
}

std::optional<SafetensorsFile> find_kept_tensors(const fs::path& file, const std::string& key,
                                                 const std::string& what) {
  std::error_code ignored;
  if (file.empty() || !fs::exists(file, ignored)) return std::nullopt;
  std::string damage;
  try {
    SafetensorsFile kept(file);
    if (metadata_of(kept, kKey) != key) {
      log_info(
          fmt::format("{}: {} belongs to something else and is not used", what, file.string()));
      return std::nullopt;
    }
    damage = damage_of(kept);
    if (damage.empty()) {
      fs::last_write_time(file, fs::file_time_type::clock::now(), ignored);
      return kept;
    }
  } catch (const Error& error) {
    damage = error.what();
  }
  log_warning(fmt::format("{}: {} is damaged and made anew: {}", what, file.string(), damage));
  return std::nullopt;
}

std::string kept_what(const fs::path& file) {
  try {
    return metadata_of(SafetensorsFile(file), kWhat);
  } catch (const Error&) {
    return "";
  }
}

std::string damage_of(const fs::path& file) {
  try {
    return damage_of(SafetensorsFile(file));
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace harness
