#include "harness/model/llama_text_model.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "tests/model/llama_golden.h"

namespace harness::test {
namespace {

class NoTokenizer : public Tokenizer {
 public:
  std::vector<std::int64_t> encode(std::string_view, bool) const override { return {}; }
  std::string decode(const std::vector<std::int64_t>&) const override { return {}; }
  std::int64_t vocabulary_size() const override { return 0; }
  std::optional<std::int64_t> bos() const override { return {}; }
  std::optional<std::int64_t> eos() const override { return {}; }
  bool adds_bos() const override { return false; }
  std::optional<std::int64_t> token_to_id(std::string_view) const override { return {}; }
  std::string digest() const override { return {}; }
};

TEST(LlamaTextModel, ShowsWhatTheLlamaComputes) {
  const auto tokenizer = std::make_shared<NoTokenizer>();
  const LlamaTextModel model(golden_model("plain"), tokenizer);
  EXPECT_EQ(&model.tokenizer(), tokenizer.get());
  EXPECT_EQ(model.vocabulary_size(), 96);
  EXPECT_EQ(model.max_tokens(), 256);
  EXPECT_LE(max_difference(model.logits(golden_tokens("plain")), golden_logits("plain")), 1e-4);
  EXPECT_EQ(model.token_nll(golden_tokens("plain")).sizes(), at::IntArrayRef({1, 47}));
}

// Prompts of several lengths, out of order, against the logits of each alone.
TEST(LlamaTextModel, NextTokenLogitsAreThoseOfEachPromptAlone) {
  const LlamaTextModel model(golden_model("plain"), nullptr);
  std::vector<std::vector<std::int64_t>> prompts;
  for (const std::int64_t length : {5, 2, 9, 5, 1, 2, 5}) {
    prompts.emplace_back();
    for (std::int64_t i = 0; i < length; ++i)
      prompts.back().push_back((31 * static_cast<std::int64_t>(prompts.size()) + 7 * i) % 96);
  }
  const at::Tensor all = model.next_token_logits(prompts);
  EXPECT_EQ(all.sizes(), at::IntArrayRef({7, 96}));
  EXPECT_EQ(all.scalar_type(), at::kFloat);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const at::Tensor alone = model.logits(at::tensor(prompts[i], at::kLong).unsqueeze(0));
    EXPECT_LE(max_difference(all[static_cast<std::int64_t>(i)], alone.select(1, -1).squeeze(0)),
              1e-4)
        << "prompt " << i;
  }
  EXPECT_EQ(model.next_token_logits({}).sizes(), at::IntArrayRef({0, 96}));
}

// Enough prompts for two batches; beginnings of several lengths, the empty one among them.
TEST(LlamaTextModel, LogitsAfterBeginningsAreThoseOfTheWholeSequences) {
  const LlamaTextModel model(golden_model("plain"), nullptr);
  std::vector<std::vector<std::int64_t>> prompts;
  for (std::int64_t i = 0; i < 40; ++i) {
    prompts.emplace_back();
    for (std::int64_t j = 0; j <= i * 5 % 11; ++j) prompts.back().push_back((31 * i + 7 * j) % 96);
  }
  const std::vector<std::vector<std::int64_t>> beginnings = {{}, {3}, {3, 9, 27}, {5, 1}};
  const at::Tensor read = model.logits_after(prompts, beginnings);
  EXPECT_EQ(read.sizes(), at::IntArrayRef({40, 4, 96}));
  EXPECT_LE(max_difference(read, model.Model::logits_after(prompts, beginnings)), 1e-4);
  EXPECT_TRUE(at::equal(model.logits_after(prompts, {std::vector<std::int64_t>{}}).select(1, 0),
                        model.next_token_logits(prompts)));
}

TEST(LlamaTextModel, PromptsOfNoTokenAndOfTooManyAreErrors) {
  const LlamaTextModel model(golden_model("plain"), nullptr);
  EXPECT_THAT(error_of([&] {
                model.next_token_logits({{1}, {}});
              }),
              testing::AllOf(testing::HasSubstr("prompt 2 of 2"), testing::HasSubstr("0 tokens")));
  EXPECT_THAT(
      error_of([&] { model.next_token_logits({std::vector<std::int64_t>(257, 1)}); }),
      testing::AllOf(testing::HasSubstr("257 tokens"), testing::HasSubstr("256 positions")));
}

TEST(EqualLengthBatches, KeepOrderAndTheTokenBudget) {
  std::vector<std::vector<std::int64_t>> prompts(5, std::vector<std::int64_t>(1500));
  prompts.insert(prompts.begin() + 2, std::vector<std::int64_t>(3));
  prompts.push_back(std::vector<std::int64_t>(9000));
  EXPECT_EQ(equal_length_batches(prompts),
            (std::vector<std::vector<std::size_t>>{{2}, {0, 1}, {3, 4}, {5}, {6}}));
}

TEST(LlamaTextModel, RecordsNoGradient) {
  LlamaTextModel model(golden_model("plain"), nullptr);
  model.llama().embedding().requires_grad_(true);
  EXPECT_FALSE(model.logits(golden_tokens("plain")).requires_grad());
}

}  // namespace
}  // namespace harness::test
