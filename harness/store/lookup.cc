#include "harness/store/lookup.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "harness/core/error.h"
#include "harness/core/text.h"

namespace harness {
namespace {

constexpr std::size_t kLeastKeyDigits = 4;
constexpr std::size_t kShownKeyDigits = 12;

bool names_key(const std::string& text, const std::string& key) {
  return text.size() >= kLeastKeyDigits && key.compare(0, text.size(), text) == 0;
}

void add_distinct(std::vector<std::string>& list, const std::string& text) {
  if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
}

/// "it holds a, b"; the error of a name that means nothing.
[[noreturn]] void throw_unknown(const ResultStore& store, const std::string& what,
                                const std::string& text, const std::vector<std::string>& names) {
  if (names.empty())
    throw Error(store.path().string(), fmt::format("holds no {} at all", what), "",
                "run an experiment with harness run");
  throw Error(store.path().string(), fmt::format("holds no {} \"{}\"", what, text),
              fmt::format("one of {}", fmt::join(names, ", ")), did_you_mean(text, names));
}

}  // namespace

ExperimentName find_experiment(const ResultStore& store, const std::string& name_or_key) {
  const auto found = store.query("SELECT key, name FROM experiments ORDER BY used_at DESC, key");
  std::vector<ExperimentName> by_key;
  std::vector<std::string> names;
  for (const auto& row : found.rows) {
    const ExperimentName experiment{*row[0], *row[1]};
    if (experiment.name == name_or_key) return experiment;
    if (names_key(name_or_key, experiment.key)) by_key.push_back(experiment);
    add_distinct(names, experiment.name);
  }
  if (by_key.size() == 1) return by_key.front();
  if (by_key.empty()) throw_unknown(store, "experiment", name_or_key, names);
  std::vector<std::string> candidates;
  for (const ExperimentName& experiment : by_key)
    candidates.push_back(
        fmt::format("{} ({})", experiment.key.substr(0, kShownKeyDigits), experiment.name));
  throw Error(store.path().string(),
              fmt::format("\"{}\" begins the keys of {} experiments: {}", name_or_key,
                          by_key.size(), fmt::join(candidates, ", ")),
              "", "give more digits");
}

namespace {

struct Candidate {
  RunName run;
  std::string seed;
};

/// What a name may mean, each run once.
std::vector<Candidate> candidates_for(const ResultStore& store, const std::string& label_or_key) {
  // Current runs of the latest version of each experiment come first; the rest is reached by key
  // only.
  const auto found = store.query(R"(
    SELECT c.run_key, c.label, e.key, e.name, r.seed,
      e.key = first_value(e.key) OVER (PARTITION BY e.name ORDER BY e.used_at DESC, e.key)
        AND EXISTS (SELECT 1 FROM current_runs n WHERE n.experiment_key = c.experiment_key
                    AND n.position = c.position AND n.run_key = c.run_key) AS latest
    FROM experiment_runs c
    JOIN experiments e ON e.key = c.experiment_key
    JOIN runs r ON r.key = c.run_key
    ORDER BY latest DESC, e.used_at DESC, e.key, c.position, c.used_at DESC, c.run_key)");
  std::vector<Candidate> by_label, by_key;
  std::vector<std::string> labels;
  auto add = [](std::vector<Candidate>& list, const Candidate& candidate) {
    if (std::none_of(list.begin(), list.end(),
                     [&](const Candidate& c) { return c.run.key == candidate.run.key; }))
      list.push_back(candidate);
  };
  for (const auto& row : found.rows) {
    const Candidate candidate{{*row[0], *row[1], *row[2], *row[3]}, *row[4]};
    const RunName& run = candidate.run;
    if (*row[5] == "1") {
      add_distinct(labels, run.label);
      if (label_or_key == run.label || label_or_key == run.experiment + "/" + run.label)
        add(by_label, candidate);
    }
    if (names_key(label_or_key, run.key)) add(by_key, candidate);
  }
  if (by_label.empty() && by_key.empty()) throw_unknown(store, "run", label_or_key, labels);
  return by_label.empty() ? by_key : by_label;
}

[[noreturn]] void throw_ambiguous(const ResultStore& store, const std::string& label_or_key,
                                  const std::vector<Candidate>& matches) {
  std::vector<std::string> candidates;
  for (const Candidate& c : matches)
    candidates.push_back(fmt::format("{} ({}/{}, seed {})", c.run.key.substr(0, kShownKeyDigits),
                                     c.run.experiment, c.run.label, c.seed));
  throw Error(store.path().string(),
              fmt::format("\"{}\" means {} runs: {}", label_or_key, matches.size(),
                          fmt::join(candidates, ", ")),
              "", "say EXPERIMENT/LABEL or the beginning of the key");
}

}  // namespace

std::string experiment_toml(const ResultStore& store, const std::string& key) {
  const auto found = store.query("SELECT toml FROM experiments WHERE key = :key", {{"key", key}});
  return found.rows.at(0).at(0).value_or("");
}

std::vector<RunName> find_runs(const ResultStore& store, const std::string& label_or_key) {
  const std::vector<Candidate> matches = candidates_for(store, label_or_key);
  std::vector<RunName> runs;
  for (const Candidate& c : matches) {
    if (c.run.experiment_key != matches.front().run.experiment_key ||
        c.run.label != matches.front().run.label)
      throw_ambiguous(store, label_or_key, matches);
    runs.push_back(c.run);
  }
  return runs;
}

RunName find_run(const ResultStore& store, const std::string& label_or_key) {
  const std::vector<Candidate> matches = candidates_for(store, label_or_key);
  if (matches.size() > 1) throw_ambiguous(store, label_or_key, matches);
  return matches.front().run;
}

}  // namespace harness
