#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

// What the harness keeps outside of the database, and may always throw away: tensors of stages
// (trained transforms, targets of distillations), the scores of evals that are not finished, and
// the pairs that it trains itself. All of it is found by a digest of what determines it, and has a
// digest of its content; what is missing or damaged is computed anew, to the same bits.

namespace harness {

/// The folder of what stages keep, in cache_folder().
std::filesystem::path stage_folder();

struct CacheEntry {
  enum class Kind { tensors, scores, pair, unfinished };
  Kind kind;
  std::filesystem::path path;  // a file, or a pair's folder
  std::string what;            // for people
  std::uintmax_t bytes = 0;
  std::filesystem::file_time_type used;
};
/// "tensors", "scores", "pair", "unfinished".
const char* kind_name(CacheEntry::Kind kind);

/// Everything of a cache folder, least recently used first. A file that a killed process left half
/// written is unfinished.
std::vector<CacheEntry> cache_entries(const std::filesystem::path& cache);

/// What is wrong with an entry, by its digest; empty where it is whole.
std::string damage_of(const CacheEntry& entry);

struct CacheLimits {
  std::optional<std::uintmax_t> keep;              // bytes that may stay
  std::optional<std::chrono::seconds> older_than;  // what was used before goes, whatever its size
};

/// Removes entries, least recently used first, until the limits are met. A pair that is being
/// trained stays, and so does what is unfinished since less than an hour.
/// @return what was removed
std::vector<CacheEntry> collect_cache(const std::filesystem::path& cache,
                                      const CacheLimits& limits);

/// How many bytes of stages are kept: HARNESS_CACHE_LIMIT ("50 GiB"), else 20 GiB.
/// @throws Error on a text that is no size
std::uintmax_t stage_cache_limit();

/// Keeps a folder of stages within that limit; what was used since `start` stays.
/// @param stages stage_folder(), or another such folder
void limit_stages(const std::filesystem::path& stages, std::filesystem::file_time_type start);

}  // namespace harness
