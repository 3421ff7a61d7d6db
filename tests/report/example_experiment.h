#pragma once

#include <fmt/format.h>

#include "tests/store/example_store.h"

namespace harness::test {

/// An experiment in a store, run by run.
class ExampleExperiment {
 public:
  ExampleExperiment(ResultStore& store, const std::string& name = "trial",
                    const std::string& toml = "")
      : store_(store), experiment_(example_experiment(name)) {
    experiment_.toml += toml;
    store_.put_experiment(experiment_);
  }

  struct About {
    std::string label = "RTN";
    std::string model = "pair:world/aligned@0", format = "w4a4kv4", methods = "rtn";
    std::int64_t seed = 0;
    std::string canonical = {};  // JSON where a query reads it
  };

  /// The run's key. Its first measure() follows.
  std::string put(const About& about) {
    run_ = example_run(experiment_, about.label, position_++, about.seed);
    run_.model = about.model;
    run_.format = about.format;
    run_.methods = about.methods;
    run_.canonical =
        about.canonical.empty() ? fmt::format(R"({{"run":{}}})", position_) : about.canonical;
    run_.key = key_of(run_.canonical + experiment_.key + std::to_string(position_));
    store_.put_run(run_);
    stages_ = 0;
    return run_.key;
  }
  /// An eval of the run put last.
  std::int64_t measure(const std::string& eval, const std::string& protocol,
                       const std::vector<MetricRow>& metrics,
                       const std::vector<ItemRow>& items = {}) {
    return store_result(store_, run_, stage(eval, "eval", protocol), metrics, items);
  }
  /// A training or method of the run put last, with its curves.
  void train(const std::string& name, const std::string& kind,
             const std::vector<CurvePoint>& points) {
    const StageRow row = stage(name, kind, "");
    const std::int64_t attempt = store_.begin_attempt(run_.key, row.key, {});
    store_.add_curve_points(attempt, points);
    store_.finish_attempt(attempt, {});
  }
  const std::string& key() const { return experiment_.key; }

 private:
  StageRow stage(const std::string& name, const std::string& kind, const std::string& protocol) {
    StageRow row = example_stage(run_.key + name + protocol, kind);
    row.name = name;
    row.protocol = protocol;
    store_.put_stage(row);
    store_.link(run_.key, row.key, stages_++);
    return row;
  }

  ResultStore& store_;
  ExperimentRow experiment_;
  RunRow run_;
  int position_ = 0, stages_ = 0;
};

/// Items "0", "1", ... with these scores.
inline std::vector<ItemRow> example_items(const std::vector<double>& scores,
                                          const std::vector<std::string>& details = {}) {
  std::vector<ItemRow> items;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    ItemRow item;
    item.id = fmt::format("item-{}", i);
    item.position = static_cast<std::int64_t>(i);
    item.score = scores[i];
    if (!details.empty()) item.detail_json = details[i];
    items.push_back(item);
  }
  return items;
}

/// 16 bits and two methods over three trainings: AAQ's refusal is .01 above RTN's in each, both
/// below the unquantized model's; AAQ's perplexity is the higher one.
inline void put_three_methods(ExampleExperiment& experiment) {
  for (int seed = 0; seed < 3; ++seed) {
    const std::string model = fmt::format("pair:world/aligned@{}", seed);
    const double shift = .004 * seed;
    experiment.put({"16 bits", model, "none", ""});
    experiment.measure("perplexity", "p/1", {{"perplexity", 3.0 + shift, .02, 256}});
    experiment.measure("refusal", "r/1", {{"refusal", .99 - shift, .005, 8}},
                       example_items({1, 1, 1, 1, 1, 1, 1, 1}));
    experiment.put({"RTN", model, "w4a4kv4", "rtn"});
    experiment.measure("perplexity", "p/1", {{"perplexity", 3.2 + shift, .02, 256}});
    experiment.measure("refusal", "r/1", {{"refusal", .95 - shift, .006, 8}},
                       example_items({1, 1, 0, 1, 1, 0, 1, 1}));
    experiment.put({"AAQ", model, "w4a4kv4 (a_o g16)", "aaq + gptq"});
    experiment.measure("perplexity", "p/1", {{"perplexity", 3.3 + shift, .02, 256}});
    experiment.measure("refusal", "r/1",
                       {{"refusal", .96 - shift + (seed == 2 ? .001 : 0), .006, 8}},
                       example_items({1, 1, 1, 1, 1, 0, 1, 1}));
  }
}

}  // namespace harness::test
