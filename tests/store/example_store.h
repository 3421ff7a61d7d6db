#pragma once

#include <string>
#include <vector>

#include "harness/core/hash.h"
#include "harness/store/result_store.h"

// Short ways to fill a store in tests of store and report.

namespace harness::test {

/// A key such as the program makes: the digest of what it stands for.
inline std::string key_of(const std::string& content) { return sha256(content); }

inline ExperimentRow example_experiment(const std::string& name, const std::string& variant = "") {
  const std::string canonical = "name=" + name + variant;
  return {key_of(canonical), name, "# " + name + "\nname = \"" + name + "\"\n", canonical};
}

inline RunRow example_run(const ExperimentRow& experiment, const std::string& label, int position,
                          std::int64_t seed = 0) {
  RunRow run;
  run.experiment_key = experiment.key;
  run.label = label;
  run.position = position;
  run.canonical = experiment.canonical + " label=" + label + " seed=" + std::to_string(seed);
  run.key = key_of(run.canonical);
  run.model = "SmolLM2";
  run.scheme = "bf16";
  run.format = "w4a16";
  run.methods = "rtn";
  run.seed = seed;
  return run;
}

inline StageRow example_stage(const std::string& content, const std::string& kind = "eval",
                              const std::string& parent_key = "") {
  StageRow stage;
  stage.key = key_of("stage " + content);
  stage.kind = kind;
  stage.name = kind == "eval" ? "perplexity" : kind == "method" ? "rtn" : "safetensors";
  stage.protocol = kind == "eval" ? "wikitext2-test/concat-2048/1" : "";
  stage.canonical = content;
  stage.parent_key = parent_key;
  return stage;
}

inline AttemptOutcome failed(const std::string& message) {
  AttemptOutcome outcome;
  outcome.status = AttemptStatus::failed;
  outcome.message = message;
  return outcome;
}

/// An experiment with one run and one eval stage of it, all put and linked.
struct OneRun {
  explicit OneRun(ResultStore& store, const std::string& name = "first")
      : experiment(example_experiment(name)),
        run(example_run(experiment, "RTN", 0)),
        stage(example_stage("perplexity of " + name)) {
    store.put_experiment(experiment);
    store.put_run(run);
    store.put_stage(stage);
    store.link(run.key, stage.key, 0);
  }
  ExperimentRow experiment;
  RunRow run;
  StageRow stage;
};

/// One attempt from beginning to end.
inline std::int64_t store_result(ResultStore& store, const RunRow& run, const StageRow& stage,
                                 const std::vector<MetricRow>& metrics,
                                 const std::vector<ItemRow>& items = {},
                                 const AttemptOutcome& outcome = {}) {
  const std::int64_t attempt =
      store.begin_attempt(run.key, stage.key, {{"harness.commit", "abc"}, {"device", "cpu"}});
  store.finish_attempt(attempt, outcome, metrics, items);
  return attempt;
}

/// The only cell of a query.
inline std::string cell(const ResultStore& store, const std::string& sql) {
  const auto result = store.query(sql);
  return result.rows.at(0).at(0).value_or("NULL");
}

}  // namespace harness::test
