#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/log.h"
#include "harness/plugin/plugins.h"
#include "harness/store/result_store.h"

namespace harness {

/// Of a difference, times the larger number or 1.
constexpr double kTolerance = 1e-6;
/// Items of a sample stand in other batches than they did, where sums of float32 are cut otherwise.
constexpr double kSampleTolerance = 1e-4;

struct VerifyOptions {
  /// Items that are measured again of each eval that goes item by item (EvalTraits::by_item), drawn
  /// by `seed`: the same of evals on the same items. 0: all.
  std::size_t sample = 0;
  std::uint64_t seed = 0;
  /// None: kTolerance, of a sample kSampleTolerance.
  std::optional<double> tolerance = {};
  std::string data_dir = {};  // where data files are looked for first
};

enum class Agreement { equal, within_tolerance, different };
/// "equal", "within tolerance", "different".
const char* agreement_name(Agreement agreement);

/// How many agree, and how well.
struct Agreements {
  std::int64_t equal = 0, within = 0, different = 0;
  std::int64_t all() const { return equal + within + different; }
  void add(Agreement agreement);
  /// The worst of them; equal where there is none.
  Agreement worst() const;
};

struct VerifiedDifference {
  std::string what;           // "metric perplexity", "item 12: score"
  std::string stored, found;  // with every digit
};

/// One stage, as stored and as computed again.
struct VerifiedStage {
  std::string run, kind, name, protocol;
  /// Values (metrics with their standard errors, points of curves, scores, numbers and texts in the
  /// items' details, completions) that agree to the bit, within the tolerance, or not. Of a sample
  /// only those of its items: metrics and places are those of all.
  Agreements values = {};
  Agreements items = {};          // rows of items, each as the worst of its values
  std::int64_t stored_items = 0;  // rows, compared or not
  double largest = 0;             // difference of two numbers, over the larger of them or 1
  std::vector<VerifiedDifference> differences = {};  // the first few that are not equal
  /// Why it could not be compared: it failed, it is not stored, or what determines it is not what
  /// it was (names that). Empty: it was.
  std::string problem = {};
  std::vector<std::string> conditions = {};  // "threads 4, now 2": provenance that differs
  Agreement agreement() const;
};

/// Computes stored runs again, into a database of its own that is thrown away, with nothing that
/// the cache keeps but the trained pairs, and compares.
/// @param run_keys of the database's runs
/// @throws Error where a run cannot be planned (its model or data are gone); Interrupted
std::vector<VerifiedStage> verify_runs(const ResultStore& store,
                                       const std::vector<std::string>& run_keys,
                                       const VerifyOptions& options, const Plugins& plugins,
                                       Progress& progress);

}  // namespace harness
