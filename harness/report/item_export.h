#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "harness/store/result_store.h"

namespace harness {

/// "parquet", "jsonl" and "csv".
enum class ItemFormat { parquet, jsonl, csv };
/// @throws Error on another name
ItemFormat item_format(const std::string& name);

/// Which items of an experiment; empty: all.
struct ItemChoice {
  std::string run;   // its label, or the beginning of its key, at least 4 digits
  std::string eval;  // its name or its protocol
};

/// Writes the items of an experiment's current runs to a file, a row each: experiment, label,
/// model, format, methods, seed, eval, protocol, id, repeat, position, score, status, cluster,
/// detail (JSON), run_key, stage_key, attempt. An item that runs share is a row of each. A score
/// that is not finite is null, and status says what it is. One eval's items are in memory at a
/// time.
/// @param experiment as find_experiment takes it
/// @return how many rows
/// @throws Error when there is no such experiment, run or eval of it, or the file cannot be written
std::int64_t export_items(const ResultStore& store, const std::string& experiment,
                          const ItemChoice& choice, ItemFormat format,
                          const std::filesystem::path& out);

}  // namespace harness
