#pragma once

#include <string>

#include "harness/core/experiment.h"
#include "harness/plugin/plugins.h"
#include "harness/run/plan.h"
#include "tests/support/support.h"

namespace harness::test {

/// A text of some 600 words for the tiny checkpoint.
inline std::string some_text() {
  std::string text;
  for (int i = 0; i < 60; ++i)
    text +=
        "The model speaks the same language, only " + std::to_string(i * 7919 % 1000) + " worse. ";
  return text;
}

/// An experiment on the tiny checkpoint: `runs` is TOML below the common keys.
inline Experiment tiny_experiment(const std::string& text_file, const std::string& runs,
                                  const ExperimentOptions& options = {}) {
  std::string toml =
      "name = \"tiny\"\nmodel = \"" + golden("tiny").string() +
      "\"\ndtype = \"fp32\"\ndevice = \"cpu\"\nevals = [{ name = \"perplexity\", text = \"" +
      text_file + "\", window = 64, limit = 6 }]\n" + runs;
  return parse_experiment(toml, "tiny.toml", options);
}

inline const Plugins& all_plugins() {
  static const Plugins plugins = [] {
    Plugins all;
    register_all_plugins(all);
    return all;
  }();
  return plugins;
}

}  // namespace harness::test
