#include <fmt/format.h>
#include <gtest/gtest.h>

#include "harness/run/runner.h"
#include "tests/run/fixture.h"

// The experiments that are committed.

namespace harness {
namespace {

std::filesystem::path experiments() { return test::source_folder() / "experiments"; }

/// A random model of an architecture with what is its own.
LlamaConfig tiny_config(const std::string& architecture) {
  LlamaConfig config = test::random_config();
  config.architecture = architecture;
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

// The paper's main table on random models of its four architectures: every method, every format,
// every row, from the same file.
TEST(Experiments, TheMainTableRunsOnTinyModelsOfItsArchitectures) {
  const test::TemporaryFolder folder;
  const test::ScopedVariable cache("HARNESS_CACHE", (folder / "cache").string());
  test::write_file(folder / "test.txt", test::some_text());
  test::write_file(folder / "train.txt", "Another text. " + test::some_text());
  test::write_quiz(folder.path());
  std::string models, bases;
  std::uint64_t seed = 0;
  for (const char* architecture :
       {"LlamaForCausalLM", "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM"})
    for (auto* list : {&models, &bases}) {
      const std::filesystem::path model = folder / fmt::format("model-{}", seed);
      test::write_random_model(model, tiny_config(architecture), seed++);
      *list += fmt::format("'{}', ", model.string());
    }
  test::write_file(folder / "tiny.toml",
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
[sweep]
model = [{}]
base = [{}]
paired = [["model", "base"]]
[set]
"format.a_o.group" = 8
"methods.spinquant.steps" = 2
"methods.ostquant.steps" = 2
"methods.ostquant.top_k" = 20
"methods.aaq.steps" = 2
"methods.aaq.top_k" = 20
"methods.aaq.push_top_k" = 10
)",
                               (experiments() / "w4a4_llama.toml").string(), models, bases));
  const Plan plan =
      make_plan(read_experiment(folder / "tiny.toml", {.data_dir = folder.path().string()}),
                test::all_plugins());
  EXPECT_EQ(plan.runs.size(), 4u * 8u);
  const auto store = ResultStore::open(folder / "results.sqlite");
  const RunSummary summary = run_plan(plan, *store, no_progress());
  EXPECT_EQ(summary.succeeded, 4 * 8);
  EXPECT_EQ(summary.failed, 0);
  // Each eval of each row, flips of both evals of choices.
  EXPECT_EQ(store
                ->query("SELECT count(*) FROM (SELECT DISTINCT run_key, protocol FROM results "
                        "WHERE kind = 'eval' AND value IS NOT NULL)")
                .rows.at(0)
                .at(0),
            std::to_string(4 * 8 * 5));
}

}  // namespace
}  // namespace harness
