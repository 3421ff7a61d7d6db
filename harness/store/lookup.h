#pragma once

#include <string>
#include <vector>

#include "harness/store/result_store.h"

namespace harness {

/// An experiment as people name it: its name (the version used last is meant) or the beginning of
/// its key, at least 4 digits.
struct ExperimentName {
  std::string key, name;
};
/// Throws Error that lists the candidates when there is none or more than one.
ExperimentName find_experiment(const ResultStore& store, const std::string& name_or_key);
/// The text of an experiment's file, by its whole key.
std::string experiment_toml(const ResultStore& store, const std::string& key);

/// A run as people name it: its label, or the beginning of its key, at least 4 digits. A label
/// means the current run of the experiment version used last; where several experiments or seeds
/// have it, "EXPERIMENT/LABEL" and the key tell them apart.
struct RunName {
  std::string key, label, experiment_key, experiment;
};
/// All seeds of one label of one experiment, or the one run of a key, in the file's order. Throws
/// Error that lists the candidates when there is none, or when several experiments have the label.
std::vector<RunName> find_runs(const ResultStore& store, const std::string& label_or_key);
/// Throws Error that lists the candidates when there is none or more than one.
RunName find_run(const ResultStore& store, const std::string& label_or_key);

}  // namespace harness
