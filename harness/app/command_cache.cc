#include <fmt/chrono.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "harness/app/commands.h"
#include "harness/core/paths.h"
#include "harness/core/text.h"
#include "harness/report/render.h"
#include "harness/run/stage_cache.h"

namespace harness {
namespace {

constexpr std::size_t kShownKeyDigits = 12;

std::string size_text(std::uintmax_t bytes) { return human_bytes(static_cast<double>(bytes)); }

/// "2026-01-31 12:00", of this place.
std::string time_text(std::filesystem::file_time_type time) {
  const auto system = std::chrono::file_clock::to_sys(time);
  return fmt::format("{:%Y-%m-%d %H:%M}",
                     fmt::localtime(std::chrono::system_clock::to_time_t(
                         std::chrono::time_point_cast<std::chrono::seconds>(system))));
}

std::uintmax_t sum_of(const std::vector<CacheEntry>& entries) {
  std::uintmax_t sum = 0;
  for (const CacheEntry& entry : entries) sum += entry.bytes;
  return sum;
}

/// @param check looks at every digest
/// @return whether all that was looked at is whole
bool list_cache(bool check) {
  const std::vector<CacheEntry> entries = cache_entries(cache_folder());
  Table table{.caption = "",
              .columns = {{.title = "kind"},
                          {.title = "what"},
                          {.title = "key"},
                          {.title = "size", .alignment = Alignment::right},
                          {.title = "used"}},
              .rows = {},
              .notes = {}};
  if (check) table.columns.push_back({.title = "state"});
  bool whole = true;
  for (const CacheEntry& entry : entries) {
    table.rows.push_back({{kind_name(entry.kind)},
                          {entry.what},
                          {entry.kind == CacheEntry::Kind::pair
                               ? ""
                               : entry.path.filename().string().substr(0, kShownKeyDigits)},
                          {size_text(entry.bytes)},
                          {time_text(entry.used)}});
    if (!check) continue;
    const std::string damage = damage_of(entry);
    whole = whole && damage.empty();
    table.rows.back().push_back({damage.empty() ? "whole" : damage});
  }
  table.notes.push_back(fmt::format(
      "{} entries, {}, in {}; of stages {} are kept (HARNESS_CACHE_LIMIT)", entries.size(),
      size_text(sum_of(entries)), cache_folder().string(), size_text(stage_cache_limit())));
  std::cout << to_text(table);
  return whole;
}

std::uintmax_t bytes_of(const std::string& text) {
  const auto bytes = parse_bytes(text);
  if (!bytes || *bytes < 0)
    throw Error("--keep", fmt::format("\"{}\"", text), "a size such as \"5 GB\" or 0");
  return static_cast<std::uintmax_t>(*bytes);
}

}  // namespace

void add_cache(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand(
      "cache", "What is kept outside of the database: list it, check it, throw it away");
  command->require_subcommand(1);
  auto* list = command->add_subcommand("ls", "Everything, least recently used first");
  auto check = std::make_shared<bool>(false);
  list->add_flag("--check", *check, "compare each file with its digest");
  list->callback([=, &session] { session.exit_code = list_cache(*check) ? 0 : 1; });

  auto* collect = command->add_subcommand("gc", "Remove what was not used for longest");
  auto keep = std::make_shared<std::string>();
  auto days = std::make_shared<double>(0);
  collect->add_option("--keep", *keep, "how much may stay, such as \"5 GB\"; default: the limit");
  auto* older =
      collect->add_option("--older-than", *days, "remove what was not used for so many days")
          ->check(CLI::NonNegativeNumber);
  collect->callback([=] {
    CacheLimits limits;
    if (!keep->empty()) limits.keep = bytes_of(*keep);
    if (older->count() > 0)
      limits.older_than = std::chrono::seconds(static_cast<std::int64_t>(*days * 86400));
    if (!limits.keep && !limits.older_than) limits.keep = stage_cache_limit();
    const std::vector<CacheEntry> removed = collect_cache(cache_folder(), limits);
    for (const CacheEntry& entry : removed)
      fmt::print("removed {} {} ({})\n", kind_name(entry.kind), entry.path.filename().string(),
                 size_text(entry.bytes));
    fmt::print("{} entries, {}\n", removed.size(), size_text(sum_of(removed)));
  });
  command->footer(
      "All of it is found by digest and made anew where it is missing or damaged: nothing is lost "
      "but time.\n"
      "After each run, stages are kept within HARNESS_CACHE_LIMIT (default 20 GiB).\n"
      "Examples:\n"
      "  harness cache ls --check\n"
      "  harness cache gc --keep \"5 GB\" --older-than 30");
}

}  // namespace harness
