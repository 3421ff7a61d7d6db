#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "harness/core/rng.h"
#include "harness/run/drawn_calibration.h"
#include "harness/train/smollm2_pair.h"
#include "tests/run/fixture.h"

namespace harness {
namespace {

class CalibrationTest : public testing::Test {
 protected:
  void SetUp() override {
    test::write_file(folder_ / "text.txt", test::some_text());
    tokenizer_ = open_tokenizer(test::golden("tiny").string());
  }
  DrawnCalibration calibration(const CalibrationSpec& spec, std::uint64_t seed) {
    return DrawnCalibration(
        spec,
        {folder_.path().string(), tokenizer_, ChatTemplate{kChatMlTemplate, "the test"}, pair_},
        seed);
  }
  DrawnCalibration calibration(std::int64_t samples, std::int64_t length, std::uint64_t seed) {
    return calibration({.text = "text.txt", .samples = samples, .length = length}, seed);
  }
  std::string text(const at::Tensor& row) {
    const auto* ids = row.const_data_ptr<std::int64_t>();
    return tokenizer_->decode({ids, ids + row.size(0)});
  }
  test::TemporaryFolder folder_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const Pair> pair_;
};

TEST_F(CalibrationTest, WindowsAreRunsOfTheText) {
  at::Tensor tokens = calibration(5, 32, 0).tokens();
  ASSERT_EQ(tokens.sizes(), (at::IntArrayRef{5, 32}));
  for (int i = 0; i < 5; ++i) EXPECT_NE(test::some_text().find(text(tokens[i])), std::string::npos);
}

TEST_F(CalibrationTest, SeedDecidesTheOffsets) {
  EXPECT_EQ(calibration(5, 32, 1).digest(), calibration(5, 32, 1).digest());
  EXPECT_NE(calibration(5, 32, 1).digest(), calibration(5, 32, 2).digest());
}

TEST_F(CalibrationTest, TextShorterThanAWindowIsAnError) {
  EXPECT_THAT(test::error_of([&] { calibration(1, 1 << 20, 0).tokens(); }),
              testing::HasSubstr("1048576"));
}

TEST_F(CalibrationTest, TranscriptsFillEachSequenceFromAConversationsBeginning) {
  test::write_file(folder_ / "chat.jsonl",
                   R"({"prompt": "one", "response": "first"}
{"prompt": "two", "response": "second"}
)");
  const CalibrationSpec spec{.chat = "chat.jsonl", .samples = 6, .length = 40};
  const at::Tensor tokens = calibration(spec, 0).tokens();
  ASSERT_EQ(tokens.sizes(), (at::IntArrayRef{6, 40}));
  for (int i = 0; i < 6; ++i) {
    EXPECT_THAT(text(tokens[i]), testing::StartsWith("<|im_start|>user\n"));
    EXPECT_THAT(text(tokens[i]), testing::AnyOf(testing::HasSubstr("one<|im_end|>"),
                                                testing::HasSubstr("two<|im_end|>")));
  }
  EXPECT_TRUE(at::equal(calibration(spec, 0).tokens(), tokens));
  EXPECT_FALSE(at::equal(calibration(spec, 1).tokens(), tokens));
}

TEST_F(CalibrationTest, ThePairsTranscriptsAreWhatItIsFineTunedOn) {
  pair_ = open_pair({"world", "aligned", 0, {}}, "");
  const at::Tensor tokens =
      calibration(CalibrationSpec{.chat = "pair", .samples = 3, .length = 20}, 4).tokens();
  const TrainBatch batch = pair_->recipe().phases.back().source->batch(
      static_cast<std::int64_t>(Philox(4, "calibration", "batches").below(1 << 20)));
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(at::equal(tokens[i], batch.tokens[i].slice(0, 0, 20))) << i;
}

TEST_F(CalibrationTest, AMixHasEachPartsShare) {
  test::write_file(folder_ / "other.txt", std::string(400, 'z'));
  const CalibrationSpec spec{
      .mix = {{.text = "text.txt", .share = 3}, {.text = "other.txt", .share = 1}},
      .samples = 10,
      .length = 16};
  const at::Tensor tokens = calibration(spec, 0).tokens();
  ASSERT_EQ(tokens.size(0), 10);
  int others = 0;
  for (int i = 0; i < 10; ++i) others += text(tokens[i]).find('z') != std::string::npos;
  EXPECT_EQ(others, 2);  // 10 - round(7.5)
}

TEST_F(CalibrationTest, WhatIsWrongIsFoundBeforeAnythingRuns) {
  auto problems = [&](const CalibrationSpec& spec) {
    return test::error_of([&] {
      Problems problems;
      check_calibration(spec, folder_.path().string(), nullptr, "run \"a\"", problems);
      problems.throw_if_any();
    });
  };
  EXPECT_THAT(problems({.text = "text.txt", .chat = "pair"}),
              testing::HasSubstr("names 2 of text"));
  EXPECT_THAT(problems({.chat = "pair"}), testing::HasSubstr("belongs to no pair"));
  EXPECT_THAT(problems({.chat = "none.jsonl"}), testing::HasSubstr("no file none.jsonl"));
  EXPECT_THAT(problems({.mix = {{}}}), testing::HasSubstr("neither or both"));
}

TEST_F(CalibrationTest, TranscriptsNeedAChatTemplate) {
  test::write_file(folder_ / "chat.jsonl", R"({"prompt": "one", "response": "first"})");
  EXPECT_THAT(test::error_of([&] {
                DrawnCalibration({.chat = "chat.jsonl"},
                                 {folder_.path().string(), tokenizer_, {}, nullptr}, 0)
                    .tokens();
              }),
              testing::HasSubstr("without a chat template"));
}

}  // namespace
}  // namespace harness
