#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>

#include "harness/model/kept_tensors.h"
#include "harness/report/plot.h"
#include "harness/run/runner.h"
#include "tests/run/fixture.h"

// The experiments that are committed.

namespace harness {
namespace {

std::filesystem::path experiments() { return test::source_folder() / "experiments"; }

constexpr const char* kLlama3 = "LlamaForCausalLM, 3.1";

/// A random model of an architecture with what is its own.
LlamaConfig tiny_config(const std::string& architecture) {
  LlamaConfig config = test::random_config();
  config.architecture = architecture == kLlama3 ? "LlamaForCausalLM" : architecture;
  if (architecture == kLlama3) {
    config.rope_scaling.type = "llama3";
    config.rope_scaling.factor = 8;
    config.rope_scaling.original_max_position_embeddings = 32;
  }
  if (architecture == "Qwen2ForCausalLM") config.qkv_bias = true;
  if (architecture == "MistralForCausalLM") {
    config.sliding_window = 24;
    config.layer_slides = {true, true};
  }
  return config;
}

TEST(Experiments, AllAreReadAndNameOptionsThatThereAre) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(experiments())) {
    if (entry.path().extension() != ".toml") continue;
    ++files;
    Problems problems;
    for (const RunSpec& run : read_experiment(entry.path()).runs) {
      for (const PluginUse& use : run.methods)
        test::all_plugins().methods.get(use.name, "").build(use.options, problems);
      for (const PluginUse& use : run.evals)
        if (test::all_plugins().derives(use.name))
          test::all_plugins().derived_evals.get(use.name).build(use.options, problems);
        else
          test::all_plugins().evals.get(use.name).build(use.options, problems);
    }
    EXPECT_NO_THROW(problems.throw_if_any()) << entry.path();
  }
  EXPECT_GE(files, 10);
}

/// Experiments that lie over committed ones, on random models and small texts.
class TinyExperiments : public testing::Test {
 protected:
  TinyExperiments() {
    test::write_file(folder_ / "test.txt", test::some_text());
    test::write_file(folder_ / "train.txt", "Another text. " + test::some_text());
    test::write_quiz(folder_.path());
  }
  std::string write_model(const std::string& architecture) {
    const std::filesystem::path model = folder_ / fmt::format("model-{}", models_);
    test::write_random_model(model, tiny_config(architecture), models_++);
    return model.string();
  }
  /// What takes the place of what a tiny model does not hold in the committed file; `more` too.
  Experiment over(const std::string& committed, const std::string& more) {
    test::write_file(folder_ / "tiny.toml",
                     fmt::format(R"(
extends = "{}"
dtype = "fp32"
device = "cpu"
calibration = {{ text = "train.txt", samples = 4, length = 32 }}
evals = [
  {{ name = "perplexity", text = "test.txt", window = 64, limit = 2 }},
  {{ name = "zeroshot", tasks = ["quiz"], task_files = ["quiz.toml"] }},
  "safetybench", "flips",
]
{}
"format.a_o.group" = 8
"methods.ostquant.steps" = 2
"methods.ostquant.top_k" = 20
"methods.aaq.steps" = 2
)",
                                 (experiments() / committed).string(), more));
    return read_experiment(folder_ / "tiny.toml", {.data_dir = folder_.path().string()});
  }
  /// Runs it and expects so many rows.
  void run(const Experiment& experiment, int rows) {
    const Plan plan = make_plan(experiment, test::all_plugins());
    const RunSummary summary = run_plan(plan, *store_, no_progress());
    EXPECT_EQ(summary.succeeded, rows);
    EXPECT_EQ(summary.failed, 0);
  }
  test::TemporaryFolder folder_;
  test::ScopedVariable cache_{"HARNESS_CACHE", (folder_ / "cache").string()};
  std::unique_ptr<ResultStore> store_ = ResultStore::open(folder_ / "results.sqlite");
  std::uint64_t models_ = 0;
};

// The paper's main table on random models of its four architectures: every method, every format,
// every row, from the same file.
TEST_F(TinyExperiments, TheMainTableRunsOnModelsOfItsArchitectures) {
  std::string models, bases;
  for (const char* architecture :
       {kLlama3, "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM"})
    for (auto* list : {&models, &bases}) *list += fmt::format("'{}', ", write_model(architecture));
  run(over("w4a4_llama.toml", fmt::format(R"(
[sweep]
model = [{}]
base = [{}]
paired = [["model", "base"]]
[set]
"methods.spinquant.steps" = 2
"methods.aaq.top_k" = 20
"methods.aaq.push_top_k" = 10
)",
                                          models, bases)),
      4 * 8);
  // Each eval of each row, flips of both evals of choices.
  EXPECT_EQ(store_
                ->query("SELECT count(*) FROM (SELECT DISTINCT run_key, protocol FROM results "
                        "WHERE kind = 'eval' AND value IS NOT NULL)")
                .rows.at(0)
                .at(0),
            std::to_string(4 * 8 * 5));
}

struct Ablation {
  const char *file, *key;
  std::vector<double> values;  // of the key; those of the file, or what a tiny model holds
  const char* others;          // keys of AAQ that stay
};

class TinyAblations : public TinyExperiments, public testing::WithParamInterface<Ablation> {};

// Each ablation's curve: a point of each value for each metric that the experiment shows.
TEST_P(TinyAblations, RunsAndGivesItsCurves) {
  const Ablation& ablation = GetParam();
  const std::string model = write_model("LlamaForCausalLM"), base = write_model("LlamaForCausalLM");
  const Experiment experiment =
      over(ablation.file,
           fmt::format("model = '{}'\nbase = '{}'\n[sweep]\n'{}' = [{}]\n[set]\n{}\n", model, base,
                       ablation.key, fmt::join(ablation.values, ", "), ablation.others));
  const auto points = ablation.values.size();
  run(experiment, static_cast<int>(points) + 2);  // beside 16 bits and OSTQuant
  const Plot plot = read_plot(*store_, experiment.name, "ablation");
  for (const char* metric : {"perplexity", "option-text/acc", "to_base"}) {
    const auto panel =
        std::find_if(plot.panels.begin(), plot.panels.end(),
                     [&](const PlotPanel& each) { return each.title.starts_with(metric); });
    ASSERT_NE(panel, plot.panels.end()) << metric;
    std::vector<double> found;
    for (const auto& series : panel->series)
      for (const PlotPoint& point : series) found.push_back(point.x);
    EXPECT_THAT(found, testing::IsSupersetOf(ablation.values)) << metric;
  }
  // One pass of the teacher's and one of the base's served every arm.
  int targets = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder_ / "cache"))
    targets += file.is_regular_file() && kept_what(file.path()) == "targets of distillation";
  EXPECT_EQ(targets, 2);
}

INSTANTIATE_TEST_SUITE_P(
    Ablations, TinyAblations,
    testing::Values(Ablation{"ablation_push_weight.toml",
                             "methods.aaq.alpha",
                             {0, .1, .2, .5, .75, 1},
                             "'methods.aaq.top_k' = 20\n'methods.aaq.push_top_k' = 10"},
                    Ablation{"ablation_k.toml",
                             "methods.aaq.top_k",
                             {5, 20, 300},
                             "'methods.aaq.push_top_k' = 10"},
                    Ablation{"ablation_push_k.toml",
                             "methods.aaq.push_top_k",
                             {5, 20, 300},
                             "'methods.aaq.top_k' = 20"}),
    [](const auto& info) {
      return std::string(info.param.file, std::string_view(info.param.file).find('.'));
    });

}  // namespace
}  // namespace harness
