#include "harness/run/stage_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <tuple>

#include "harness/core/error.h"
#include "harness/core/log.h"
#include "harness/core/paths.h"
#include "harness/core/text.h"
#include "harness/model/kept_tensors.h"
#include "harness/run/score_file.h"

namespace harness {
namespace {

namespace fs = std::filesystem;
using Kind = CacheEntry::Kind;

constexpr std::uintmax_t kDefaultLimit = std::uintmax_t{20} << 30;
// A file's time lags the clock's by a tick of the kernel (up to 10 ms), by seconds on some file
// systems.
constexpr auto kFileTimeLag = std::chrono::seconds(2);
constexpr auto kWriting = std::chrono::hours(1);  // longer than anything takes to be written

Kind kind_of(const fs::path& file) {
  if (file.extension() == ".partial") return Kind::unfinished;
  return file.extension() == ".scores" ? Kind::scores : Kind::tensors;
}

std::string what_of(const CacheEntry& entry) {
  switch (entry.kind) {
    case Kind::tensors:
      return kept_what(entry.path);
    case Kind::scores:
      return "an eval that was not finished";
    case Kind::pair:
      return entry.path.filename().string();
    case Kind::unfinished:
      return "half written";
  }
  return "";
}

/// Other processes remove files too: what is gone meanwhile has no size and no time.
CacheEntry file_entry(Kind kind, const fs::path& path) {
  std::error_code gone;
  CacheEntry entry{kind, path, "", fs::file_size(path, gone), {}};
  entry.used = fs::last_write_time(path, gone);
  entry.what = what_of(entry);
  return entry;
}

/// A pair's folder; beside it stand files that belong to one.
CacheEntry pair_entry(const fs::path& path) {
  CacheEntry entry{Kind::pair, path, "", 0, fs::file_time_type::min()};
  std::error_code gone;
  for (const auto& file : fs::recursive_directory_iterator(path, gone)) {
    if (!file.is_regular_file(gone)) continue;
    entry.bytes += file.file_size(gone);
    entry.used = std::max(entry.used, file.last_write_time(gone));
  }
  entry.what = what_of(entry);
  return entry;
}

void sort_by_use(std::vector<CacheEntry>& entries) {
  std::sort(entries.begin(), entries.end(), [](const CacheEntry& a, const CacheEntry& b) {
    return std::tie(a.used, a.path) < std::tie(b.used, b.path);
  });
}

std::vector<CacheEntry> stage_entries(const fs::path& stages) {
  std::vector<CacheEntry> entries;
  std::error_code none;
  for (const auto& file : fs::directory_iterator(stages, none))
    if (file.is_regular_file(none))
      entries.push_back(file_entry(kind_of(file.path()), file.path()));
  sort_by_use(entries);
  return entries;
}

/// Removes a pair unless a process trains it.
bool remove_pair(const fs::path& folder) {
  const int lock = ::open((folder / "lock").c_str(), O_RDWR | O_CLOEXEC);
  const bool free = lock < 0 || ::flock(lock, LOCK_EX | LOCK_NB) == 0;
  std::error_code failed;
  if (free) fs::remove_all(folder, failed);
  if (lock >= 0) ::close(lock);
  return free && !failed;
}

/// @param keep whether an entry stays in any case
template <class Keep>
std::vector<CacheEntry> collect(std::vector<CacheEntry> entries, const CacheLimits& limits,
                                Keep&& keep) {
  const auto now = fs::file_time_type::clock::now();
  std::uintmax_t total = 0;
  for (const CacheEntry& entry : entries) total += entry.bytes;
  std::vector<CacheEntry> removed;
  for (CacheEntry& entry : entries) {
    const auto age = now - entry.used;
    const bool too_old = limits.older_than && age > *limits.older_than;
    const bool too_much = limits.keep && total > *limits.keep;
    const bool goes =
        entry.kind == Kind::unfinished ? age > kWriting : (too_old || too_much) && !keep(entry);
    if (!goes) continue;
    std::error_code failed;
    if (entry.kind == Kind::pair ? !remove_pair(entry.path) : !fs::remove(entry.path, failed))
      continue;
    total -= entry.bytes;
    removed.push_back(std::move(entry));
  }
  return removed;
}

}  // namespace

fs::path stage_folder() { return cache_folder() / "stages"; }

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::tensors:
      return "tensors";
    case Kind::scores:
      return "scores";
    case Kind::pair:
      return "pair";
    case Kind::unfinished:
      return "unfinished";
  }
  return "";
}

std::vector<CacheEntry> cache_entries(const fs::path& cache) {
  std::vector<CacheEntry> entries = stage_entries(cache / "stages");
  std::error_code none;
  for (const auto& each : fs::directory_iterator(cache / "pairs", none))
    entries.push_back(each.is_directory(none) ? pair_entry(each.path())
                                              : file_entry(Kind::pair, each.path()));
  sort_by_use(entries);
  return entries;
}

std::string damage_of(const CacheEntry& entry) {
  return entry.kind == Kind::tensors ? damage_of(entry.path) : "";
}

std::vector<CacheEntry> collect_cache(const fs::path& cache, const CacheLimits& limits) {
  return collect(cache_entries(cache), limits, [](const CacheEntry&) { return false; });
}

std::uintmax_t stage_cache_limit() {
  const char* said = environment("HARNESS_CACHE_LIMIT");
  if (!said) return kDefaultLimit;
  const auto bytes = parse_bytes(said);
  if (!bytes)
    throw Error("HARNESS_CACHE_LIMIT", fmt::format("\"{}\"", said), "a size such as \"50 GiB\"");
  return static_cast<std::uintmax_t>(*bytes);
}

void limit_stages(const fs::path& stages, fs::file_time_type start) {
  const std::uintmax_t limit = stage_cache_limit();
  std::uintmax_t bytes = 0;
  const auto removed =
      collect(stage_entries(stages), {.keep = limit, .older_than = {}},
              [&](const CacheEntry& entry) { return entry.used >= start - kFileTimeLag; });
  for (const CacheEntry& entry : removed) bytes += entry.bytes;
  if (!removed.empty())
    log_info(fmt::format("cache: {} files of stages, {}, removed to keep {} (HARNESS_CACHE_LIMIT)",
                         removed.size(), human_bytes(static_cast<double>(bytes)),
                         human_bytes(static_cast<double>(limit))));
}

}  // namespace harness
