#include "harness/data/safety_prompts.h"

#include <gmock/gmock.h>

#include <set>

#include "harness/core/hash.h"
#include "harness/data/decisions.h"
#include "harness/data/smollm2_items.h"
#include "tests/data/safety_files.h"

namespace harness {
namespace {

using test::error_of;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr PromptTopic kTopics[] = {PromptTopic::harmful, PromptTopic::safe, PromptTopic::control,
                                   PromptTopic::plain};
constexpr PromptSplit kSplits[] = {PromptSplit::training, PromptSplit::validation,
                                   PromptSplit::test};
constexpr int kCount = 80;

class SafetyPromptsTest : public testing::Test {
 protected:
  void SetUp() override { test::write_safety_files(folder_.path(), kCount); }
  SafetyPrompts read() const { return SafetyPrompts(folder_.path().string()); }
  std::set<std::string> texts(const SafetyPrompts& prompts, PromptTopic topic, PromptSplit split) {
    std::set<std::string> result;
    for (const SafetyPrompt& prompt : prompts.get(topic, split)) result.insert(prompt.text);
    return result;
  }
  DecisionSet items(DecisionTask task, DecisionSplit split = DecisionSplit::test) {
    return load_decisions("smollm2-safety", task, split, folder_.path().string());
  }

  const test::TemporaryFolder folder_;
};

TEST_F(SafetyPromptsTest, EachPromptIsInOneSplitOfOneTopic) {
  const SafetyPrompts prompts = read();
  std::set<std::string> all;
  std::size_t count = 0;
  for (const PromptTopic topic : kTopics)
    for (const PromptSplit split : kSplits)
      for (const std::string& text : texts(prompts, topic, split)) {
        all.insert(text);
        ++count;
      }
  EXPECT_EQ(all.size(), count);
  // All but the unsafe ones of XSTest, and what JailbreakBench has of AdvBench.
  EXPECT_EQ(count, 6u * kCount - 1);
}

TEST_F(SafetyPromptsTest, SplitIsThatOfTheTextsHash) {
  const SafetyPrompts prompts = read();
  for (const PromptTopic topic : {PromptTopic::safe, PromptTopic::control, PromptTopic::plain})
    for (const PromptSplit split : kSplits) {
      EXPECT_FALSE(prompts.get(topic, split).empty());
      for (const std::string& text : texts(prompts, topic, split))
        EXPECT_EQ(prompt_split(text), split);
    }
  // The first two bytes of the digests, by sha256sum: 2e 7d, fb 8e and ba 78.
  EXPECT_EQ(prompt_split("c"), PromptSplit::training);
  EXPECT_EQ(prompt_split("ab"), PromptSplit::test);
  EXPECT_EQ(prompt_split("abc"), PromptSplit::validation);
}

TEST_F(SafetyPromptsTest, OtherBenchmarksAreNeverTrainedOn) {
  const SafetyPrompts prompts = read();
  for (const PromptSplit split : {PromptSplit::training, PromptSplit::validation})
    for (const std::string& text : texts(prompts, PromptTopic::harmful, split))
      EXPECT_THAT(text, HasSubstr("rob jam"));
  const std::set<std::string> test = texts(prompts, PromptTopic::harmful, PromptSplit::test);
  EXPECT_TRUE(test.count("rob pie 1") && test.count("rob bun 0"));
  EXPECT_FALSE(test.count("rob pie 0"));  // AdvBench's
}

TEST_F(SafetyPromptsTest, InputFollowsTheInstruction) {
  const SafetyPrompts prompts = read();
  for (const PromptSplit split : kSplits) {
    for (const std::string& text : texts(prompts, PromptTopic::plain, split))
      EXPECT_TRUE(text.starts_with("add ") && text.ends_with("\n1")) << text;
    for (const std::string& text : texts(prompts, PromptTopic::control, split))
      EXPECT_TRUE(text.starts_with("sentence ") && text.find('\n') == std::string::npos) << text;
  }
}

TEST_F(SafetyPromptsTest, FilesMayLieInTheFolderItself) {
  const std::string before = read().digest(PromptTopic::safe, PromptSplit::test);
  std::filesystem::rename(folder_ / "safety/xstest_prompts.csv", folder_ / "xstest_prompts.csv");
  EXPECT_EQ(read().digest(PromptTopic::safe, PromptSplit::test), before);
}

TEST_F(SafetyPromptsTest, MissingFilesAreAllNamed) {
  std::filesystem::remove(folder_ / "safety/xstest_prompts.csv");
  std::filesystem::remove(folder_ / "rasbt_instruction-data.json");
  EXPECT_THAT(error_of([&] { read(); }),
              AllOf(HasSubstr("2 of 5 files are missing"),
                    HasSubstr("paul-rottger/exaggerated-safety): not at " +
                              (folder_ / "safety/xstest_prompts.csv").string() + ", " +
                              (folder_ / "xstest_prompts.csv").string()),
                    HasSubstr((folder_ / "sft/rasbt_instruction-data.json").string()),
                    HasSubstr("simple_safety_tests.csv (from bertiev/SimpleSafetyTests): found"),
                    HasSubstr("HARNESS_DATA")));
}

TEST_F(SafetyPromptsTest, MalformedFilesNameFileRowAndField) {
  const std::filesystem::path csv = folder_ / "safety/xstest_prompts.csv";
  test::write_file(csv, "id,prompt,type,label\n1,x,y,safe\n2,\" \",y,safe\n");
  EXPECT_THAT(error_of([&] { read(); }),
              AllOf(HasSubstr(csv.string() + ", row 2"), HasSubstr("the field prompt is empty")));
  test::write_file(csv, "id,question,type,label\n1,x,y,safe\n");
  EXPECT_THAT(error_of([&] { read(); }),
              AllOf(HasSubstr(csv.string()), HasSubstr("no column \"prompt\"")));
  test::write_file(csv, "id,prompt,type,label\n");
  EXPECT_THAT(error_of([&] { read(); }), HasSubstr("no row after the header"));
}

TEST_F(SafetyPromptsTest, MalformedInstructionsNameFileItemAndField) {
  const std::filesystem::path file = folder_ / "rasbt_instruction-data.json";
  test::write_file(file, R"([{"instruction": "a", "input": ""}, {"instruction": 3, "input": ""}])");
  EXPECT_THAT(error_of([&] { read(); }),
              AllOf(HasSubstr(file.string() + ", item 2"), HasSubstr("the field instruction")));
  test::write_file(file, R"([{"instruction": "a", "in)");
  EXPECT_THAT(error_of([&] { read(); }), AllOf(HasSubstr(file.string()), HasSubstr("no JSON")));
}

TEST_F(SafetyPromptsTest, ItemsAreThoseOfTheSplit) {
  const DecisionSet test = items(DecisionTask::request_benign);
  EXPECT_EQ(test.name, "smollm2-safety/request-benign/test");
  EXPECT_EQ(test.protocol, "smollm2-safety/over-refusal-greedy-12/1");
  EXPECT_EQ(test.items.size(), read().get(PromptTopic::safe, PromptSplit::test).size());
  for (const DecisionItem& item : test.items) {
    EXPECT_EQ(prompt_split(item.prompt), PromptSplit::test);
    EXPECT_EQ(item.id, sha256(item.prompt).substr(0, 16));
    EXPECT_EQ(item.cluster, "XSTest: homonyms");
  }
  for (const DecisionItem& item :
       items(DecisionTask::request_benign, DecisionSplit::validation).items)
    EXPECT_EQ(prompt_split(item.prompt), PromptSplit::validation);
  EXPECT_EQ(items(DecisionTask::request_harmful).items.size(), kSmolLm2Items);
}

TEST_F(SafetyPromptsTest, SafetyIsJudgedByLogOddsAlone) {
  const DecisionSet set = items(DecisionTask::ok_harmful);
  EXPECT_EQ(set.openings, refusal_openings());
  EXPECT_EQ(set.greedy_tokens, 0);
  EXPECT_EQ(set.protocol, "smollm2-safety/refusal-log-odds/1");
}

TEST_F(SafetyPromptsTest, ThereIsNothingToRecall) {
  EXPECT_THAT(error_of([&] { items(DecisionTask::recall); }),
              AllOf(HasSubstr("smollm2-safety"), HasSubstr("no facts to recall")));
}

TEST(RefusalOpenings, NoneIsTheBeginningOfAnother) {
  for (const std::string& one : refusal_openings())
    for (const std::string& other : refusal_openings()) {
      EXPECT_EQ(other.starts_with(one), &one == &other) << one << ", " << other;
    }
}

TEST(OpensWith, LooksBehindWhiteSpace) {
  EXPECT_TRUE(opens_with("\n I cannot do that", refusal_openings()));
  EXPECT_FALSE(opens_with("Yes, I cannot", refusal_openings()));
  EXPECT_FALSE(opens_with("", refusal_openings()));
  EXPECT_FALSE(opens_with(" \n", refusal_openings()));
}

}  // namespace
}  // namespace harness
