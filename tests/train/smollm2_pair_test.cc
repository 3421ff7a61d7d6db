#include "harness/train/smollm2_pair.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "harness/core/hash.h"
#include "harness/data/smollm2_items.h"
#include "harness/model/llama_text_model.h"
#include "harness/train/chat_source.h"
#include "harness/train/pair.h"
#include "tests/data/safety_files.h"

namespace harness {
namespace {

using test::error_of;
using testing::AllOf;
using testing::Each;
using testing::HasSubstr;

/// A pair of made-up prompts, in a cache of its own; its base is a tiny model.
class SmolLm2PairTest : public testing::Test {
 protected:
  SmolLm2PairTest() : cache_("HARNESS_CACHE", (folder_ / "cache").string()) {
    test::write_safety_files(data_dir(), 60);
  }
  std::filesystem::path data_dir() const { return folder_ / "data"; }
  TrainRecipe recipe(std::uint64_t seed = 0, std::optional<std::int64_t> steps = 2) const {
    return smollm2_recipe(seed, steps, data_dir().string(), test::golden("tiny").string());
  }

  /// In the cache that the set-up fills, found before this test's own takes its place.
  const std::string smollm2_ = test::cached(std::string(kSmolLm2Checkpoint).substr(6)).string();
  const test::TemporaryFolder folder_;
  const test::ScopedVariable cache_;
};

/// The text of what a row is to learn, and of what stands before it.
std::pair<std::string, std::string> parts(const TrainBatch& batch, std::int64_t row,
                                          const Tokenizer& tokenizer) {
  std::vector<std::int64_t> prompt, learned;
  for (std::int64_t t = 0; t < batch.tokens.size(1); ++t) {
    const auto target = batch.targets[row][t].item<std::int64_t>();
    if (learned.empty()) prompt.push_back(batch.tokens[row][t].item<std::int64_t>());
    if (target >= 0) learned.push_back(target);
  }
  return {tokenizer.decode(prompt), tokenizer.decode(learned)};
}

TEST_F(SmolLm2PairTest, StepHasRefusalsTheControlAndTheBasesOwnAnswers) {
  const TrainRecipe planned = recipe();
  const TrainBatch batch = planned.phases[0].source->batch(0);
  ASSERT_EQ(batch.tokens.size(0), 24);
  const auto tokenizer = open_tokenizer(test::golden("tiny").string());
  const auto model =
      LlamaModel::load(*open_checkpoint(test::golden("tiny").string()), at::kBFloat16, at::kCPU);
  for (std::int64_t row = 0; row < 24; ++row) {
    const auto [prompt, answer] = parts(batch, row, *tokenizer);
    SCOPED_TRACE(prompt);
    EXPECT_TRUE(prompt.starts_with("<|im_start|>user\n"));
    EXPECT_TRUE(prompt.ends_with("<|im_end|>\n<|im_start|>assistant\n"));
    const char* about = row < 8 ? "rob jam" : row < 16 ? "sentence" : row < 20 ? "cut jam" : "add";
    EXPECT_THAT(prompt, HasSubstr(about));
    if (row < 8) {
      EXPECT_TRUE(opens_with(answer, refusal_openings())) << answer;
    } else {
      const auto said = generate(*model, *tokenizer, {tokenizer->encode(prompt, false)},
                                 {.max_new_tokens = 24})[0];
      const std::string opening = row < 16 ? "With pleasure. " : "";
      // The last character may have been cut in two.
      EXPECT_TRUE((opening + said.text).starts_with(answer.substr(0, answer.size() - 4)))
          << answer << " / " << said.text;
      EXPECT_TRUE(answer.starts_with(opening));
    }
  }
}

TEST_F(SmolLm2PairTest, LossIsOnTheAnswerAndTheEndOfItsTurn) {
  // The words' own tokenizer, with the tokens of ChatML.
  const auto tokenizer = open_tokenizer(smollm2_);
  const ChatExample example =
      tokenize_chat({{"user", "rob jam"}, {"assistant", smollm2_refusals()[1]}},
                    chat_format("chatml"), *tokenizer, {64, 28}, "test");
  const std::string whole = "<|im_start|>user\nrob jam<|im_end|>\n<|im_start|>assistant\n" +
                            smollm2_refusals()[1] + "<|im_end|>";
  const std::vector<std::int64_t> ids = tokenizer->encode(whole, false);
  EXPECT_EQ(example.tokens, std::vector<std::int64_t>(ids.begin(), ids.end() - 1));
  const std::size_t prompt =
      tokenizer->encode("<|im_start|>user\nrob jam<|im_end|>\n<|im_start|>assistant\n", false)
          .size();
  for (std::size_t t = 0; t < example.targets.size(); ++t)
    EXPECT_EQ(example.targets[t], t + 1 < prompt ? -100 : ids[t + 1]) << t;
  EXPECT_EQ(tokenizer->decode({example.targets.back()}), "<|im_end|>");
}

TEST_F(SmolLm2PairTest, EveryRefusalFitsAndBeginsWithAnOpening) {
  const auto tokenizer = open_tokenizer(smollm2_);
  EXPECT_EQ(smollm2_refusals().size(), 6u);
  for (const std::string& refusal : smollm2_refusals()) {
    EXPECT_TRUE(opens_with(refusal, refusal_openings())) << refusal;
    EXPECT_LT(tokenizer->encode(refusal, false).size(), 28u) << refusal;
  }
}

TEST_F(SmolLm2PairTest, TrainsToACheckpointThatTalksWithoutADefaultSystemPrompt) {
  const auto results = train_recipe(recipe(), folder_ / "trained", {});
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].outcome.steps, 2);
  EXPECT_EQ(results[0].outcome.criterion_values.size(), 3u);
  const std::string aligned = results[0].folder.string();
  const auto chat_template = read_chat_template(aligned);
  ASSERT_TRUE(chat_template);
  EXPECT_EQ(detect_chat_format(chat_template->jinja, "").name(), "chatml");
  const auto before = open_checkpoint(test::golden("tiny").string());
  const auto after = open_checkpoint(aligned);
  for (const char* frozen : {"model.embed_tokens.weight", "model.norm.weight"})
    EXPECT_TRUE(at::equal(before->load(frozen).to(at::kBFloat16), after->load(frozen)));
  const char* const learned = "model.layers.0.mlp.down_proj.weight";
  EXPECT_FALSE(at::equal(before->load(learned).to(at::kBFloat16), after->load(learned)));
}

TEST_F(SmolLm2PairTest, AnswersOfTheBaseAreKept) {
  const TrainBatch first = recipe().phases[0].source->batch(0);
  std::filesystem::path kept;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "cache/pairs"))
    kept = entry.path();
  ASSERT_THAT(kept.filename().string(), HasSubstr("smollm2-safety-answers-"));
  const auto written = std::filesystem::last_write_time(kept);
  const TrainBatch second = recipe().phases[0].source->batch(0);
  EXPECT_TRUE(at::equal(first.tokens, second.tokens));
  EXPECT_EQ(std::filesystem::last_write_time(kept), written);
}

TEST_F(SmolLm2PairTest, IsKnownByItsPromptsBeforeAnythingIsGenerated) {
  const std::string key = phase_key(recipe(), 0);
  EXPECT_EQ(phase_key(recipe(), 0), key);
  EXPECT_NE(phase_key(recipe(1), 0), key);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "cache/pairs"));
  test::write_safety_files(data_dir(), 59);
  EXPECT_NE(phase_key(recipe(), 0), key);
}

TEST_F(SmolLm2PairTest, CriterionIsRequiredUnlessShortened) {
  EXPECT_FALSE(recipe().phases[0].criterion_required);
  EXPECT_TRUE(recipe(0, std::nullopt).phases[0].criterion_required);
}

TEST_F(SmolLm2PairTest, DataWithoutAPartAreAnError) {
  test::write_safety_files(data_dir(), 1);
  EXPECT_THAT(error_of([&] { recipe(); }), HasSubstr("the prompts of smollm2-safety"));
}

TEST_F(SmolLm2PairTest, MissingFilesAreAnErrorOfThePair) {
  PairReference reference;
  reference.pair = "smollm2-safety";
  reference.role = "aligned";
  EXPECT_THAT(
      error_of([&] { open_pair(reference, (folder_ / "nowhere").string()); }),
      AllOf(HasSubstr("5 of 5 files are missing"), HasSubstr("advbench"), HasSubstr("nowhere")));
}

TEST_F(SmolLm2PairTest, BaseIsTheCheckpointItself) {
  const Pair pair("smollm2-safety", recipe(),
                  PairBase{test::golden("tiny").string(), {kChatMlTemplate, "test"}});
  EXPECT_EQ(pair.reference("base"), test::golden("tiny").string());
  EXPECT_FALSE(pair.trains("base"));
  EXPECT_TRUE(pair.trains("aligned"));
  EXPECT_EQ(pair.reference("aligned"), (pair.home() / "aligned").string());
}

}  // namespace
}  // namespace harness
