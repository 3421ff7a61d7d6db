#include <gmock/gmock.h>

#include <set>

#include "harness/model/tokenizer.h"
#include "harness/train/chat_source.h"
#include "harness/train/text_source.h"
#include "tests/train/train_support.h"

namespace harness {
namespace {

using test::error_of;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::int64_t> list(const at::Tensor& row) {
  const at::Tensor flat = row.contiguous();
  return {flat.const_data_ptr<std::int64_t>(), flat.const_data_ptr<std::int64_t>() + flat.numel()};
}

const Tokenizer& tiny_tokenizer() {
  static const auto tokenizer = open_tokenizer(test::golden("tiny").string());
  return *tokenizer;
}

TEST(TextSource, PredictsTheNextTokenOfEachWindow) {
  std::vector<std::int64_t> tokens(1000);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int64_t>(i);
  const TextSource source(tokens, 5, 7, 3);
  const TrainBatch batch = source.batch(2);
  ASSERT_EQ(batch.tokens.sizes(), (std::vector<std::int64_t>{5, 7}));
  EXPECT_TRUE(at::equal(batch.targets, batch.tokens + 1));
  EXPECT_TRUE(at::equal(batch.tokens.slice(1, 1), batch.tokens.slice(1, 0, 6) + 1));
}

TEST(TextSource, IsAFunctionOfIndexAndSeed) {
  std::vector<std::int64_t> text(5000);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::int64_t>(i);
  const TextSource source(text, 4, 8, 1), same(text, 4, 8, 1), other(text, 4, 8, 2);
  source.batch(0);
  EXPECT_TRUE(at::equal(source.batch(9).tokens, same.batch(9).tokens));
  EXPECT_FALSE(at::equal(source.batch(9).tokens, source.batch(8).tokens));
  EXPECT_FALSE(at::equal(source.batch(9).tokens, other.batch(9).tokens));
  EXPECT_EQ(source.canonical(), same.canonical());
  EXPECT_NE(source.canonical(), other.canonical());
}

TEST(TextSource, TextShorterThanAWindowIsAnError) {
  EXPECT_THAT(error_of([] {
                TextSource({1, 2, 3}, 1, 3, 0);
              }),
              AllOf(HasSubstr("3 tokens"), HasSubstr("more than length = 3")));
}

TEST(ChatLines, BothShapesAreRead) {
  const auto examples = parse_chat_lines(
      R"({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "id": 7})"
      "\n\n"
      R"({"prompt": "p", "response": "r"})",
      "file.jsonl");
  ASSERT_EQ(examples.size(), 2u);
  EXPECT_EQ(examples[0][0].role, "system");
  EXPECT_EQ(examples[0][2].content, "a");
  EXPECT_EQ(examples[1][0].role, "user");
  EXPECT_EQ(examples[1][0].content, "p");
  EXPECT_EQ(examples[1][1].role, "assistant");
}

struct Malformed {
  const char* line;
  const char* field;
};
class MalformedLine : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedLine, NamesFileLineAndField) {
  const std::string good = "{\"prompt\": \"p\", \"response\": \"r\"}\n";
  EXPECT_THAT(error_of([&] { parse_chat_lines(good + "\n" + GetParam().line, "f.jsonl"); }),
              AllOf(HasSubstr("f.jsonl:3"), HasSubstr(GetParam().field)));
}

INSTANTIATE_TEST_SUITE_P(
    Lines, MalformedLine,
    testing::Values(
        Malformed{"{\"prompt\": \"p\"", "line 1"}, Malformed{"[1]", "no JSON object"},
        Malformed{"{\"prompt\": \"p\"}", "the field response is missing"},
        Malformed{"{\"prompt\": 3, \"response\": \"r\"}", "the field prompt is no text"},
        Malformed{"{\"text\": \"x\"}", "neither the field messages nor"},
        Malformed{"{\"messages\": \"x\"}", "the field messages is no list"},
        Malformed{"{\"messages\": [3]}", "the field messages[0] is no object"},
        Malformed{"{\"messages\": [{\"role\": \"user\"}]}", "messages[0].content is missing"},
        Malformed{"{\"messages\": [{\"role\": \"bot\", \"content\": \"\"}]}",
                  "messages[0].role is \"bot\""},
        Malformed{"{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}]}",
                  "no answer of the assistant"}));

TEST(ChatLines, FileWithoutExamplesIsAnError) {
  EXPECT_THAT(error_of([] { parse_chat_lines("\n \n", "f.jsonl"); }), HasSubstr("no examples"));
}

/// The text that an example learns, and the text before its first learned token.
struct Learned {
  std::string prompt, answer;
};
Learned learned(const ChatExample& example) {
  std::vector<std::int64_t> prompt = {example.tokens.front()}, answer;
  for (std::size_t i = 0; i < example.targets.size(); ++i)
    if (example.targets[i] >= 0)
      answer.push_back(example.targets[i]);
    else if (answer.empty() && i + 1 < example.tokens.size())
      prompt.push_back(example.tokens[i + 1]);
  return {tiny_tokenizer().decode(prompt), tiny_tokenizer().decode(answer)};
}

const std::vector<ChatMessage> kQuestion = {{"user", "may i?"}, {"assistant", "yes, do."}};

TEST(TokenizeChat, LossIsOnTheAnswerAndItsEndAlone) {
  const Learned found =
      learned(tokenize_chat(kQuestion, chat_format("chatml"), tiny_tokenizer(), {}, "x"));
  EXPECT_EQ(found.prompt, "<|im_start|>user\nmay i?<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(found.answer, "yes, do.<|im_end|>");
}

TEST(TokenizeChat, EachPositionPredictsTheNextToken) {
  const ChatExample example =
      tokenize_chat(kQuestion, chat_format("chatml"), tiny_tokenizer(), {}, "x");
  ASSERT_EQ(example.tokens.size(), example.targets.size());
  for (std::size_t i = 0; i + 1 < example.tokens.size(); ++i)
    EXPECT_TRUE(example.targets[i] == -100 || example.targets[i] == example.tokens[i + 1]) << i;
  EXPECT_GE(example.targets.back(), 0);
}

TEST(TokenizeChat, WorldAnswersFollowTheBot) {
  const Learned found =
      learned(tokenize_chat(kQuestion, chat_format("world"), tiny_tokenizer(), {}, "x"));
  EXPECT_EQ(found.prompt, "<user> may i? <bot>");
  EXPECT_EQ(found.answer, " yes, do.");
}

TEST(TokenizeChat, EveryAnswerOfAConversationIsLearned) {
  const std::vector<ChatMessage> messages = {
      {"user", "a"}, {"assistant", "B"}, {"user", "c"}, {"assistant", "D"}, {"user", "e"}};
  EXPECT_EQ(
      learned(tokenize_chat(messages, chat_format("chatml"), tiny_tokenizer(), {}, "x")).answer,
      "B<|im_end|>D<|im_end|>");
}

TEST(TokenizeChat, LongPromptLosesTheEndOfItsLastMessage) {
  std::vector<ChatMessage> messages = kQuestion;
  messages[0].content = fmt::format("{:x>80}end", "");
  const ChatFormat& format = chat_format("chatml");
  const ChatExample whole = tokenize_chat(messages, format, tiny_tokenizer(), {}, "x");
  const ChatExample cut = tokenize_chat(messages, format, tiny_tokenizer(), {60, 0}, "x");
  EXPECT_LT(cut.tokens.size(), whole.tokens.size());
  const Learned found = learned(cut);
  EXPECT_THAT(found.prompt, AllOf(testing::StartsWith("<|im_start|>user\nxx"),
                                  testing::EndsWith("x<|im_end|>\n<|im_start|>assistant\n")));
  EXPECT_EQ(tiny_tokenizer().encode(found.prompt, false).size(), 60u);
  EXPECT_EQ(found.answer, "yes, do.<|im_end|>");
}

TEST(TokenizeChat, LongAnswerIsCut) {
  const ChatExample example =
      tokenize_chat(kQuestion, chat_format("chatml"), tiny_tokenizer(), {0, 3}, "x");
  const auto wanted = tiny_tokenizer().encode("yes, do.<|im_end|>", false);
  std::vector<std::int64_t> found;
  for (std::int64_t target : example.targets)
    if (target >= 0) found.push_back(target);
  EXPECT_THAT(found, ElementsAre(wanted[0], wanted[1], wanted[2]));
}

TEST(TokenizeChat, TemplateLongerThanThePromptIsAnError) {
  EXPECT_THAT(error_of([] {
                tokenize_chat(kQuestion, chat_format("chatml"), tiny_tokenizer(), {5, 0}, "f:1");
              }),
              AllOf(HasSubstr("f:1"), HasSubstr("chatml alone takes")));
}

TEST(TokenizeChat, RefusalOfTheFormatNamesThePlace) {
  const std::vector<ChatMessage> messages = {{"system", "s"}, {"user", "q"}, {"assistant", "a"}};
  EXPECT_THAT(
      error_of([&] { tokenize_chat(messages, chat_format("world"), tiny_tokenizer(), {}, "f:1"); }),
      HasSubstr("f:1"));
}

ChatExample example_of(std::int64_t id, std::size_t length) {
  ChatExample example{std::vector<std::int64_t>(length, id),
                      std::vector<std::int64_t>(length, -100)};
  example.targets.back() = id;
  return example;
}

TEST(ChatSource, EveryEpochShowsEachExampleOnceInANewOrder) {
  std::vector<ChatExample> examples;
  for (std::int64_t i = 0; i < 20; ++i) examples.push_back(example_of(i, 2));
  const ChatSource source(examples, 5, 4);
  std::vector<std::vector<std::int64_t>> epochs(2);
  for (std::int64_t index = 0; index < 8; ++index)
    for (std::int64_t id : list(source.batch(index).tokens.select(1, 0)))
      epochs[static_cast<std::size_t>(index / 4)].push_back(id);
  for (const auto& epoch : epochs)
    EXPECT_EQ(std::set<std::int64_t>(epoch.begin(), epoch.end()).size(), 20u);
  EXPECT_NE(epochs[0], epochs[1]);
  // Going back, as a resumed training may, gives the same batch.
  EXPECT_EQ(list(source.batch(1).tokens.select(1, 0)),
            std::vector<std::int64_t>(epochs[0].begin() + 5, epochs[0].begin() + 10));
}

TEST(ChatSource, RowsArePaddedOnTheRightWithoutLoss) {
  const ChatSource source({example_of(5, 4), example_of(6, 2)}, 2, 0);
  const TrainBatch batch = source.batch(0);
  const bool first_is_short = list(batch.tokens[0])[0] == 6;
  const at::Tensor row = batch.tokens[first_is_short ? 0 : 1];
  EXPECT_THAT(list(row), ElementsAre(6, 6, 0, 0));
  EXPECT_THAT(list(batch.targets[first_is_short ? 0 : 1]), ElementsAre(-100, 6, -100, -100));
}

TEST(MixedSource, HoldsTheRowsOfAllInOrder) {
  const auto chat = std::make_shared<ChatSource>(std::vector{example_of(5, 3)}, 2, 0);
  const auto text = std::make_shared<TextSource>(std::vector<std::int64_t>(50, 9), 1, 6, 0);
  const TrainBatch batch = MixedSource({chat, text}).batch(3);
  ASSERT_EQ(batch.tokens.sizes(), (std::vector<std::int64_t>{3, 6}));
  EXPECT_THAT(list(batch.tokens[1]), ElementsAre(5, 5, 5, 0, 0, 0));
  EXPECT_THAT(list(batch.targets[1]), ElementsAre(-100, -100, 5, -100, -100, -100));
  EXPECT_THAT(list(batch.targets[2]), Each(9));
}

}  // namespace
}  // namespace harness
