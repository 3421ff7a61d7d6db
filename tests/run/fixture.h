#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string>

#include "harness/core/experiment.h"
#include "harness/model/checkpoint_writer.h"
#include "harness/plugin/plugins.h"
#include "harness/run/plan.h"
#include "harness/train/initial_weights.h"
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

/// Twelve questions as SafetyBench's file has them, and a task of one's own on them: "quiz" of
/// quiz.toml.
inline void write_quiz(const std::filesystem::path& folder) {
  std::string questions;
  for (int i = 0; i < 12; ++i)
    questions += fmt::format(
        R"({{"id": {0}, "category": "{1}", "question": "Is it {0}?", "options": ["Yes", "No", "So"], "answer": {2}}})"
        "\n",
        i, i % 2 ? "Mental Health" : "Physical Health", i % 3);
  write_file(folder / "safetybench_en_1000.jsonl", questions);
  write_file(folder / "quiz.toml", R"(
name = "quiz"
version = "1"
licence = "CC0"
source = "made for this test"
prompt = "{{question}}"
choices = "{{options}}"
answer = "{{answer}}"
metrics = ["acc", "acc_norm"]
[[files]]
split = "test"
places = ["safetybench_en_1000.jsonl"]
)");
}

/// The shape of a random model with the vocabulary of tests/golden/tiny.
inline LlamaConfig random_config() {
  LlamaConfig config;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 8;
  config.vocab_size = 300;
  config.max_position_embeddings = 128;
  config.bos_token_id = 1;
  config.eos_token_ids = {2};
  return config;
}

/// Writes a model with random weights and the tokenizer of tests/golden/tiny.
inline void write_random_model(const std::filesystem::path& folder, const LlamaConfig& config,
                               std::uint64_t seed) {
  InitOptions init;
  init.std = 0.2;
  const TensorCheckpoint weights = initial_weights(config, init, seed);
  std::map<std::string, at::Tensor> tensors;
  for (const std::string& name : weights.names()) tensors[name] = weights.load(name);
  save_checkpoint_folder(folder, config, tensors, read_tokenizer_texts(golden("tiny").string()));
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
