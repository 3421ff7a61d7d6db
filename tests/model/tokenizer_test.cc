#include "harness/model/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "harness/model/pretokenizer.h"
#include "harness/model/regex.h"
#include "harness/model/unicode.h"
#include "tests/model/gguf_bytes.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<std::int64_t>;

/// A tokenizer.json of three letters, one merge and the parts given, each as `"key": value`.
std::string tiny_json(const std::string& model = "", const std::string& rest = "") {
  return R"({"added_tokens": [{"id": 4, "content": "<s>", "special": true}],
    "decoder": {"type": "ByteLevel"},)" +
         rest + R"( "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3},)" + model +
         R"( "merges": ["a b"]}})";
}

/// `text` with the first `from` changed into `to`.
std::string replaced(const std::string& text, const std::string& from, const std::string& to) {
  std::size_t at = text.find(from);
  return text.substr(0, at) + to + text.substr(at + from.size());
}

class TokenizerFile : public testing::Test {
 protected:
  std::unique_ptr<Tokenizer> open(const std::string& json) {
    write_file(folder_ / "tokenizer.json", json);
    return open_tokenizer(folder_.path().string());
  }
  std::string problem(const std::string& json) {
    return error_of([&] { open(json); });
  }
  TemporaryFolder folder_;
};

TEST_F(TokenizerFile, MergesThePairThatTheModelNames) {
  EXPECT_THAT(open(tiny_json())->encode("cabb", false), ElementsAre(2, 3, 1));
}

TEST_F(TokenizerFile, MergesMayBePairs) {
  std::string json = tiny_json();
  json = replaced(json, "\"a b\"", "[\"a\", \"b\"]");
  EXPECT_THAT(open(json)->encode("ab", false), ElementsAre(3));
}

TEST_F(TokenizerFile, SpecialTokensInTheTextAreFoundWithoutThePostProcessor) {
  EXPECT_THAT(open(tiny_json())->encode("a<s>b", false), ElementsAre(0, 4, 1));
}

TEST_F(TokenizerFile, UnknownCharactersVanishWithoutUnkToken) {
  EXPECT_THAT(open(tiny_json())->encode("axxc", false), ElementsAre(0, 2));
}

TEST_F(TokenizerFile, UnkTokenStandsForEachUnknownCharacter) {
  EXPECT_THAT(open(tiny_json(R"("unk_token": "c",)"))->encode("axxb", false),
              ElementsAre(0, 2, 2, 1));
}

TEST_F(TokenizerFile, FusedUnkTokenStandsForARun) {
  EXPECT_THAT(open(tiny_json(R"("unk_token": "c", "fuse_unk": true,)"))->encode("axxbx", false),
              ElementsAre(0, 2, 1, 2));
}

TEST_F(TokenizerFile, TheEmptyTextHasNoTokens) {
  EXPECT_TRUE(open(tiny_json())->encode("", false).empty());
}

/// A WordLevel tokenizer.json of two words and whatever `model` adds.
std::string word_level_json(const std::string& model, const std::string& vocabulary) {
  return R"({"pre_tokenizer": {"type": "WhitespaceSplit"}, "model": {"type": "WordLevel",)" +
         model + R"("vocab": )" + vocabulary + "}}";
}

TEST_F(TokenizerFile, WordsAreWholeTokens) {
  auto tokenizer = open(word_level_json(R"("unk_token": "?",)", R"({"?": 0, "ab": 1, "b": 7})"));
  EXPECT_THAT(tokenizer->encode(" ab  b abb", false), ElementsAre(1, 7, 0));
  EXPECT_EQ(tokenizer->decode({7, 3, 1}), "b ab");
  EXPECT_EQ(tokenizer->vocabulary_size(), 3);
}

TEST_F(TokenizerFile, UnknownWordWithoutUnkInTheVocabularyIsAnErrorWhenItIsMet) {
  auto tokenizer = open(word_level_json(R"("unk_token": "<unk>",)", R"({"a": 0, "b": 1})"));
  EXPECT_THAT(tokenizer->encode("a b", false), ElementsAre(0, 1));
  EXPECT_THAT(error_of([&] { tokenizer->encode("a c", false); }),
              AllOf(HasSubstr("tokenizer.json"), HasSubstr("\"c\""), HasSubstr("\"<unk>\"")));
}

TEST_F(TokenizerFile, MalformedWordLevelVocabulariesAreErrors) {
  const std::string unk = R"("unk_token": "a",)";
  EXPECT_THAT(problem(word_level_json("", R"({"a": 0})")), HasSubstr("model.unk_token is missing"));
  EXPECT_THAT(problem(word_level_json(unk, R"(["a"])")), HasSubstr("model.vocab"));
  EXPECT_THAT(problem(word_level_json(unk, R"({"a": "0"})")), HasSubstr("\"a\""));
  EXPECT_THAT(problem(word_level_json(unk, R"({"a": -1})")), HasSubstr("the id -1"));
  EXPECT_THAT(problem(word_level_json(unk, R"({"a": 0, "b": 0})")),
              HasSubstr("\"a\" and \"b\" the id 0"));
}

TEST_F(TokenizerFile, UnknownModelsAreNamed) {
  EXPECT_THAT(problem(replaced(word_level_json(R"("unk_token": "a",)", R"({"a": 0})"), "WordLevel",
                               "Unigram")),
              AllOf(HasSubstr("\"Unigram\""), HasSubstr("BPE or WordLevel")));
}

TEST_F(TokenizerFile, TemplateAddsBosOnlyWhenAsked) {
  auto tokenizer = open_tokenizer(golden("tokenizer/llama3-small").string());
  EXPECT_TRUE(tokenizer->adds_bos());
  Ids with = tokenizer->encode("the", true), without = tokenizer->encode("the", false);
  ASSERT_FALSE(with.empty());
  EXPECT_EQ(with.front(), tokenizer->bos());
  EXPECT_EQ(with.size(), without.size() + 1);
}

TEST_F(TokenizerFile, ConfigNamesBosAndEos) {
  auto tokenizer = open_tokenizer(golden("tokenizer/llama3-small").string());
  EXPECT_EQ(tokenizer->bos(), tokenizer->token_to_id("<|begin_of_text|>"));
  EXPECT_EQ(tokenizer->eos(), tokenizer->token_to_id("<|end_of_text|>"));
}

TEST_F(TokenizerFile, ConfigThatSetsAddBosTokenReplacesThePostProcessor) {
  std::string json = read_file(golden("tokenizer/llama3-small") / "tokenizer.json");
  write_file(folder_ / "tokenizer_config.json",
             R"({"bos_token": "<|begin_of_text|>", "add_bos_token": false})");
  auto without = open(json);
  EXPECT_FALSE(without->adds_bos());
  EXPECT_EQ(without->encode("the", true), without->encode("the", false));
}

TEST_F(TokenizerFile, DigestChangesWithTheMerges) {
  std::string before = open(tiny_json())->digest(), json = tiny_json();
  json = replaced(json, "[\"a b\"]", "[]");
  EXPECT_NE(open(json)->digest(), before);
}

TEST_F(TokenizerFile, DecodeGivesBackEveryUtf8Text) {
  auto tokenizer = open_tokenizer(golden("tokenizer/smollm2-small").string());
  std::string text = "Naïve 12 <|im_end|>\r\n\t 👩‍👩‍👧 한국\xF0\x90\x80\x80";
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, false)), text);
}

TEST_F(TokenizerFile, InvalidUtf8IsReadAsReplacementCharacters) {
  auto tokenizer = open_tokenizer(golden("tokenizer/smollm2-small").string());
  EXPECT_EQ(tokenizer->encode("a\xFF\xE2\x82z", false), tokenizer->encode("a\uFFFD\uFFFDz", false));
}

// Python: bytes.decode(errors="replace").
TEST(RepairUtf8, ReplacesMaximalIllFormedParts) {
  EXPECT_EQ(repair_utf8("\xF0\x9F\x98 x"), "\uFFFD x");
  EXPECT_EQ(repair_utf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(repair_utf8("\xC0\xAF"), "\uFFFD\uFFFD");
  EXPECT_EQ(repair_utf8("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(repair_utf8("\xE2\x82"), "\uFFFD");
  EXPECT_EQ(repair_utf8("\xE2\x82\xAC\xF0\x9F\x98\x80"), "€😀");
}

TEST(Regex, MongolianVowelSeparatorIsNoWhiteSpace) {
  EXPECT_TRUE(Regex(R"(\s)").find_all("\u180E").empty());
  EXPECT_EQ(Regex(R"(\s)").find_all("\u0085\u3000").size(), 2u);
}

TEST(Regex, LettersOfUnicode16AreLetters) {
  EXPECT_EQ(Regex(R"(\p{L})").find_all("\U000105C0").size(), 1u);
  EXPECT_TRUE(Regex(R"([^\p{L}])").find_all("\U000105C0").empty());
}

TEST(Regex, SyntaxThatTheEnginesReadDifferentlyIsAnError) {
  for (const char* pattern : {"[a&&b]", "x{1,2}+", "\\h", "[a[b]]", "x{,3}"})
    EXPECT_THAT(error_of([&] {
                  Regex{pattern, "f.json"};
                }),
                testing::AllOf(HasSubstr("f.json"), HasSubstr(pattern)));
}

TEST(Regex, AMalformedPatternIsAnError) {
  EXPECT_THAT(error_of([] { Regex{"(a", "f.json"}; }), HasSubstr("(a"));
}

TEST(ByteCharacters, AreGpt2s) {
  EXPECT_EQ(byte_characters()[' '], "Ġ");
  EXPECT_EQ(byte_characters()['\n'], "Ċ");
  EXPECT_EQ(byte_characters()[0xAD], "Ń");
  EXPECT_EQ(bytes_of_token("Ġa"), " a");
  EXPECT_EQ(bytes_of_token("日"), "日");
}

// Bad input: the message names the file, what was found and what was expected.

TEST_F(TokenizerFile, AMissingPathIsAnError) {
  EXPECT_THAT(error_of([] { open_tokenizer("no/such/place"); }), HasSubstr("no/such/place"));
}

TEST_F(TokenizerFile, AFolderWithoutTokenizerIsAnError) {
  EXPECT_THAT(error_of([&] { open_tokenizer(folder_.path().string()); }),
              HasSubstr("no tokenizer.json"));
}

TEST_F(TokenizerFile, ASentencePieceFolderIsAnErrorThatSaysSo) {
  write_file(folder_ / "tokenizer.model", "x");
  EXPECT_THAT(error_of([&] { open_tokenizer(folder_.path().string()); }),
              HasSubstr("SentencePiece"));
}

TEST_F(TokenizerFile, AFileOfAnotherKindIsAnError) {
  write_file(folder_ / "tokenizer.model", "x");
  EXPECT_THAT(error_of([&] { open_tokenizer((folder_ / "tokenizer.model").string()); }),
              HasSubstr("\".model\""));
}

TEST_F(TokenizerFile, MalformedJsonIsAnErrorWithItsPlace) {
  EXPECT_THAT(problem("{\"model\": "),
              testing::AllOf(HasSubstr("tokenizer.json"), HasSubstr("no valid JSON")));
}

TEST_F(TokenizerFile, JsonThatIsNoObjectIsAnError) { EXPECT_THAT(problem("[]"), HasSubstr("[]")); }

TEST_F(TokenizerFile, ATokenizerWithoutModelIsAnError) {
  EXPECT_THAT(problem("{}"), HasSubstr("model"));
}

TEST_F(TokenizerFile, UnsupportedTypesAreNamed) {
  EXPECT_THAT(problem(R"({"model": {"type": "Unigram"}})"), HasSubstr("Unigram"));
  EXPECT_THAT(problem(tiny_json("", R"("normalizer": {"type": "Precompiled"},)")),
              HasSubstr("Precompiled"));
  EXPECT_THAT(problem(tiny_json("", R"("pre_tokenizer": {"type": "Metaspace"},)")),
              HasSubstr("Metaspace"));
  EXPECT_THAT(problem(tiny_json("", R"("post_processor": {"type": "BertProcessing"},)")),
              HasSubstr("BertProcessing"));
}

TEST_F(TokenizerFile, UnsupportedModelOptionsAreNamed) {
  EXPECT_THAT(problem(tiny_json(R"("byte_fallback": true,)")), HasSubstr("byte_fallback"));
  EXPECT_THAT(problem(tiny_json(R"("dropout": 0.1,)")), HasSubstr("dropout 0.1"));
  EXPECT_THAT(problem(tiny_json(R"("continuing_subword_prefix": "##",)")), HasSubstr("##"));
}

TEST_F(TokenizerFile, AMergeOfAnUnknownTokenIsAnError) {
  std::string json = tiny_json();
  json = replaced(json, "\"a b\"", "\"a z\"");
  EXPECT_THAT(problem(json), HasSubstr("\"z\""));
}

TEST_F(TokenizerFile, AMergeThatIsNoPairIsAnError) {
  std::string json = tiny_json();
  json = replaced(json, "\"a b\"", "\"a b c\"");
  EXPECT_THAT(problem(json), HasSubstr("a b c"));
}

TEST_F(TokenizerFile, AnUnkTokenOutsideTheVocabularyIsAnError) {
  EXPECT_THAT(problem(tiny_json(R"("unk_token": "<unk>",)")), HasSubstr("<unk>"));
}

TEST_F(TokenizerFile, ATemplateWithAnUnknownTokenIsAnError) {
  EXPECT_THAT(problem(tiny_json("", R"("post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<x>"}}, {"Sequence": {"id": "A"}}],
      "special_tokens": {}},)")),
              HasSubstr("<x>"));
}

TEST_F(TokenizerFile, NegativeIdsAreAnError) {
  std::string json = tiny_json();
  json = replaced(json, "\"c\": 2", "\"c\":-2");
  EXPECT_THAT(problem(json), HasSubstr("-2"));
}

class TokenizerGguf : public testing::Test {
 protected:
  /// A GGUF vocabulary of a, b, ab and the control token <s>, which is BOS.
  std::string file(const std::string& model, const std::string& pre, std::uint32_t bos = 3) {
    Bytes bytes;
    bytes.header(0, 7);
    bytes.text("tokenizer.ggml.model").number<std::uint32_t>(8).text(model);
    bytes.text("tokenizer.ggml.pre").number<std::uint32_t>(8).text(pre);
    bytes.text("tokenizer.ggml.tokens").strings({"a", "b", "ab", "<s>"});
    bytes.text("tokenizer.ggml.merges").strings({"a b"});
    bytes.text("tokenizer.ggml.token_type").number<std::uint32_t>(9).number<std::uint32_t>(5);
    bytes.number<std::uint64_t>(4);
    for (std::int32_t type : {1, 1, 1, 3}) bytes.number(type);
    bytes.text("tokenizer.ggml.bos_token_id").number<std::uint32_t>(4).number(bos);
    bytes.text("tokenizer.ggml.add_bos_token").number<std::uint32_t>(7).number<std::uint8_t>(1);
    write_file(folder_ / "model.gguf", bytes.all);
    return (folder_ / "model.gguf").string();
  }
  TemporaryFolder folder_;
};

TEST_F(TokenizerGguf, AddsBosAndFindsControlTokens) {
  auto tokenizer = open_tokenizer(file("gpt2", "gpt-2"));
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_THAT(tokenizer->encode("ab<s>b", true), ElementsAre(3, 2, 3, 1));
  EXPECT_THAT(tokenizer->encode("ab", false), ElementsAre(2));
}

TEST_F(TokenizerGguf, AFolderWithOneGgufFileWillDo) {
  file("gpt2", "gpt-2");
  EXPECT_EQ(open_tokenizer(folder_.path().string())->vocabulary_size(), 4);
}

TEST_F(TokenizerGguf, AnotherModelOrPreTokenizerIsNamed) {
  EXPECT_THAT(error_of([&] { open_tokenizer(file("llama", "gpt-2")); }), HasSubstr("\"llama\""));
  EXPECT_THAT(error_of([&] { open_tokenizer(file("gpt2", "viking")); }),
              testing::AllOf(HasSubstr("\"viking\""), HasSubstr("smollm")));
}

TEST_F(TokenizerGguf, ABosIdOutsideTheVocabularyIsAnError) {
  EXPECT_THAT(error_of([&] { open_tokenizer(file("gpt2", "gpt-2", 4)); }),
              HasSubstr("bos_token_id is 4"));
}

TEST(TokenizerFromHub, FindsASnapshotByItsName) {
  TemporaryFolder hub;
  std::filesystem::path snapshot = hub.path() / "models--someone--small" / "snapshots" / "0123";
  std::filesystem::create_directories(snapshot);
  std::filesystem::create_directories(snapshot.parent_path().parent_path() / "refs");
  write_file(snapshot.parent_path().parent_path() / "refs" / "main", "0123");
  write_file(snapshot / "tokenizer.json", tiny_json());
  setenv("HF_HUB_CACHE", hub.path().c_str(), 1);
  auto tokenizer = open_tokenizer("someone/small");
  unsetenv("HF_HUB_CACHE");
  EXPECT_EQ(tokenizer->vocabulary_size(), 5);
}

}  // namespace
}  // namespace harness::test
