#include "harness/model/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string>

#include "harness/core/rng.h"
#include "harness/model/pretokenizer.h"
#include "harness/model/protobuf.h"
#include "harness/model/regex.h"
#include "harness/model/sentencepiece.h"
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

TEST_F(TokenizerFile, AFileOfAnotherKindIsAnError) {
  write_file(folder_ / "tokenizer.bin", "x");
  EXPECT_THAT(error_of([&] { open_tokenizer((folder_ / "tokenizer.bin").string()); }),
              AllOf(HasSubstr("\".bin\""), HasSubstr("tokenizer.model")));
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
  EXPECT_THAT(problem(tiny_json("", R"("pre_tokenizer": {"type": "BertPreTokenizer"},)")),
              HasSubstr("BertPreTokenizer"));
  EXPECT_THAT(problem(replaced(tiny_json(), R"("type": "ByteLevel")", R"("type": "WordPiece")")),
              AllOf(HasSubstr("decoder"), HasSubstr("WordPiece"), HasSubstr("ByteFallback")));
  EXPECT_THAT(problem(tiny_json("", R"("post_processor": {"type": "BertProcessing"},)")),
              HasSubstr("BertProcessing"));
}

TEST_F(TokenizerFile, UnsupportedModelOptionsAreNamed) {
  EXPECT_THAT(problem(tiny_json(R"("dropout": 0.1,)")), HasSubstr("dropout 0.1"));
  EXPECT_THAT(problem(tiny_json(R"("continuing_subword_prefix": "##",)")), HasSubstr("##"));
}

TEST_F(TokenizerFile, MalformedMetaspaceIsAnError) {
  auto metaspace = [](const std::string& options) {
    return tiny_json("", R"("pre_tokenizer": {"type": "Metaspace")" + options + "},");
  };
  EXPECT_THAT(problem(metaspace("")), HasSubstr("pre_tokenizer.replacement is missing"));
  EXPECT_THAT(problem(metaspace(R"(, "replacement": "ab")")), HasSubstr("one character"));
  EXPECT_THAT(problem(metaspace(R"(, "replacement": "_", "prepend_scheme": "last")")),
              AllOf(HasSubstr("\"last\""), HasSubstr("never, first or always")));
}

TEST_F(TokenizerFile, AStripThatIsNoCountIsAnError) {
  EXPECT_THAT(problem(replaced(tiny_json(), R"("type": "ByteLevel")",
                               R"("type": "Strip", "content": " ", "start": -1, "stop": 0)")),
              HasSubstr("decoder.start is -1"));
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
  EXPECT_THAT(error_of([&] { open_tokenizer(file("bert", "gpt-2")); }),
              AllOf(HasSubstr("\"bert\""), HasSubstr("SentencePiece")));
  EXPECT_THAT(error_of([&] { open_tokenizer(file("gpt2", "viking")); }),
              testing::AllOf(HasSubstr("\"viking\""), HasSubstr("smollm")));
}

TEST_F(TokenizerGguf, ABosIdOutsideTheVocabularyIsAnError) {
  EXPECT_THAT(error_of([&] { open_tokenizer(file("gpt2", "gpt-2", 4)); }),
              HasSubstr("bos_token_id is 4"));
}

TEST_F(TokenizerGguf, PiecesWithoutScoresAreAnError) {
  EXPECT_THAT(error_of([&] { open_tokenizer(file("llama", "default")); }),
              HasSubstr("tokenizer.ggml.scores"));
}

/// A tokenizer.model in a folder of its own.
class TokenizerModel : public testing::Test {
 protected:
  std::string path() const { return (folder_ / "tokenizer.model").string(); }
  std::unique_ptr<Tokenizer> open(std::string_view bytes) {
    write_file(path(), bytes);
    return open_tokenizer(folder_.path().string());
  }
  std::string problem(std::string_view bytes) {
    return error_of([&] { open(bytes); });
  }
  void configure(const std::string& json) { write_file(folder_ / "tokenizer_config.json", json); }
  static std::string bytes_of(const std::string& name) {
    return read_file(golden("tokenizer/" + name) / "tokenizer.model");
  }
  static SentencePieceModel llama2() {
    return read_sentencepiece_model(golden("tokenizer/llama2-model") / "tokenizer.model");
  }
  TemporaryFolder folder_;
};

TEST_F(TokenizerModel, TokenizerJsonBesideItWins) {
  write_file(folder_ / "tokenizer.json", tiny_json());
  EXPECT_EQ(open(bytes_of("llama2-model"))->vocabulary_size(), 5);
}

TEST_F(TokenizerModel, AFileNamedAfterItsVersionIsReadByItsPath) {
  const std::string versioned = (folder_ / "mistral_tokenizer.model.v3").string();
  write_file(versioned, bytes_of("llama2-model"));
  EXPECT_EQ(open_tokenizer(versioned)->vocabulary_size(), 600);
}

TEST_F(TokenizerModel, BosIsAddedUnlessTheConfigSaysOtherwise) {
  EXPECT_TRUE(open(bytes_of("llama2-model"))->adds_bos());
  configure(R"({"add_eos_token": true})");
  auto both = open(bytes_of("llama2-model"));
  EXPECT_EQ(both->encode("", true), (Ids{1, 2}));
  configure(R"({"add_bos_token": false})");
  auto none = open(bytes_of("llama2-model"));
  EXPECT_TRUE(none->encode("", true).empty());
  EXPECT_NE(none->digest(), both->digest());
}

TEST_F(TokenizerModel, TheSpaceBeforeTheTextCanBeLeftOut) {
  const auto with = open(bytes_of("llama2-model"));
  configure(R"({"add_prefix_space": false})");
  const auto without = open(bytes_of("llama2-model"));
  EXPECT_EQ(without->encode(" self", false), with->encode("self", false));
  EXPECT_NE(without->encode("self", false), with->encode("self", false));
  EXPECT_EQ(without->decode(without->encode(" self", false)), " self");
  EXPECT_NE(without->digest(), with->digest());
}

TEST_F(TokenizerModel, LegacyPutsASpaceAfterSpecialTokensToo) {
  const auto legacy = open(bytes_of("llama2-model"));
  Ids ids = legacy->encode("self", false);
  ids.insert(ids.begin(), 1);
  EXPECT_EQ(legacy->encode("<s>self", false), ids);
  EXPECT_EQ(legacy->decode(ids), "<s>self");
  configure(R"({"legacy": false})");
  const auto modern = open(bytes_of("llama2-model"));
  EXPECT_NE(modern->encode("<s>self", false), ids);
  EXPECT_EQ(modern->decode(modern->encode("<s>self", false)), "<s>self");
  EXPECT_EQ(modern->decode(ids), "<s> self");
}

TEST_F(TokenizerModel, TextThatGoesOnKeepsTheSpaceInFront) {
  for (const char* name : {"llama2-model", "llama2-json", "mistral-json", "metaspace-json"}) {
    const auto tokenizer = open_tokenizer(golden(std::string("tokenizer/") + name).string());
    const Ids word = tokenizer->encode("self", false), prompt = tokenizer->encode("a b", true);
    EXPECT_EQ(tokenizer->decode(word), "self") << name;
    EXPECT_EQ(tokenizer->decode_after({1}, word), "self") << name;
    EXPECT_EQ(tokenizer->decode_after(prompt, word), " self") << name;
  }
}

TEST_F(TokenizerModel, OlderCheckpointsListAddedTokensInAFileOfTheirOwn) {
  write_file(folder_ / "added_tokens.json", R"({"<pad>": 600})");
  const auto tokenizer = open(bytes_of("llama2-model"));
  EXPECT_EQ(tokenizer->vocabulary_size(), 601);
  EXPECT_EQ(tokenizer->encode("<pad>", false), Ids{600});
}

TEST_F(TokenizerModel, AConfigOfAnotherTokenizerIsAnError) {
  configure(R"({"added_tokens_decoder": {"1": {"content": "<bos>", "special": true}}})");
  EXPECT_THAT(problem(bytes_of("llama2-model")),
              AllOf(HasSubstr("the token 1 is \"<bos>\", but \"<s>\" in the vocabulary"),
                    HasSubstr("tokenizer_config.json")));
  configure(R"({"added_tokens_decoder": {"-1": {"content": "<bos>"}}})");
  EXPECT_THAT(problem(bytes_of("llama2-model")), HasSubstr("the id \"-1\""));
}

// Wherever the file is cut off, that is found: the specifications stand at its end.
TEST_F(TokenizerModel, ACutOffSentencePieceModelIsAnError) {
  const std::string whole = bytes_of("llama2-model");
  for (std::size_t size = 1; size < whole.size(); size += 61)
    EXPECT_THAT(problem(whole.substr(0, size)),
                AllOf(HasSubstr("tokenizer.model"), HasSubstr("fetch it again")))
        << size;
  EXPECT_THAT(problem(""), HasSubstr("tokenizer.model"));
}

TEST_F(TokenizerModel, DamageIsAnErrorOrATokenizerThatWorks) {
  const std::string sound = bytes_of("charsmap-model");
  int refused = 0;
  for (std::uint64_t trial = 0; trial < 600; ++trial) {
    Philox rng(0, "tokenizer.model", "damage", trial);
    std::string bytes = sound;
    for (std::uint64_t left = 1 + rng.below(8); left > 0; --left)
      bytes[rng.below(bytes.size())] = static_cast<char>(rng.below(256));
    try {
      const auto tokenizer = open(bytes);
      tokenizer->decode(tokenizer->encode("zyxwvut ﬁ½ é <mask>\n the self", true));
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 60);
}

TEST_F(TokenizerModel, AnotherKindOfFileIsAnError) {
  EXPECT_THAT(problem("PK\x03\x04 an archive"), HasSubstr("a whole SentencePiece model"));
  EXPECT_THAT(problem("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
              HasSubstr("git lfs pull"));
}

TEST_F(TokenizerModel, SentencePieceModelsThatAreNotSupportedAreNamed) {
  auto model_with = [](const std::string& trainer) {
    std::string bytes, piece;
    put_protobuf(piece, 1, "a");
    put_protobuf(bytes, 1, piece);
    put_protobuf(bytes, 2, trainer);
    put_protobuf(bytes, 3, "");
    return bytes;
  };
  std::string unigram, suffix;
  put_protobuf(unigram, 3, std::uint64_t{1});
  EXPECT_THAT(problem(model_with(unigram)), AllOf(HasSubstr("unigram"), HasSubstr("bpe")));
  put_protobuf(suffix, 3, std::uint64_t{2});
  put_protobuf(suffix, 24, std::uint64_t{1});
  EXPECT_THAT(problem(model_with(suffix)), HasSubstr("treat_whitespace_as_suffix"));
}

TEST_F(TokenizerModel, PiecesThatAreNoVocabularyAreErrors) {
  SentencePieceModel model = llama2();
  model.pieces[7].type = PieceType::normal;
  EXPECT_THAT(problem(sentencepiece_model_bytes(model)), HasSubstr("255 byte pieces"));
  model = llama2();
  model.pieces[7].text = "<0x4>";
  EXPECT_THAT(problem(sentencepiece_model_bytes(model)), HasSubstr("\"<0x4>\""));
  model = llama2();
  model.pieces[300].text = model.pieces[301].text;
  EXPECT_THAT(problem(sentencepiece_model_bytes(model)),
              AllOf(HasSubstr("stands twice"), HasSubstr("300 and 301")));
  model = llama2();
  model.pieces[300].text.clear();
  EXPECT_THAT(problem(sentencepiece_model_bytes(model)), HasSubstr("the piece 300 is empty"));
  model.pieces[300] = {"x\xff", 0, PieceType::normal};
  EXPECT_THAT(problem(sentencepiece_model_bytes(model)), HasSubstr("the piece 300 is no UTF-8"));
  model.pieces[300] = {"xyz", std::nanf(""), PieceType::normal};
  EXPECT_THAT(problem(sentencepiece_model_bytes(model)), HasSubstr("the score nan"));
  model.pieces = {{"a", 0, PieceType::normal}};
  EXPECT_THAT(problem(sentencepiece_model_bytes(model)), HasSubstr("nor an unknown token"));
  model = llama2();
  model.charsmap = "abcd";
  EXPECT_THAT(problem(sentencepiece_model_bytes(model)), HasSubstr("precompiled_charsmap"));
}

TEST_F(TokenizerModel, BadRanksAreErrors) {
  const std::string ranks = bytes_of("llama3-model");
  const std::string first = ranks.substr(0, ranks.find(' '));
  EXPECT_THAT(problem(ranks + "not a rank\n"), AllOf(HasSubstr("line 557"), HasSubstr("base64")));
  EXPECT_THAT(problem(ranks + "YWJjZA== -1\n"), HasSubstr("line 557"));
  EXPECT_THAT(problem(ranks + "YWJjZA== 9999\n"), HasSubstr("the rank 9999 is too high"));
  EXPECT_THAT(problem(ranks + "YWJjZA== 0\n"), HasSubstr("the rank 0 stands twice"));
  EXPECT_THAT(problem("YQ== 0\n"), HasSubstr("no token for the byte 0"));
  EXPECT_THAT(problem(ranks + first + " 556\n"), HasSubstr("stands twice in the vocabulary"));
}

// A list that is cut off between two lines is a shorter list, all ids of which are the same but
// for the special tokens: only the embedding's size tells.
TEST_F(TokenizerModel, RanksCutOffWithinALineAreAnError) {
  const std::string ranks = bytes_of("llama3-model");
  EXPECT_THAT(problem(ranks.substr(0, ranks.rfind(' '))), HasSubstr("line 556"));
}

TEST_F(TokenizerModel, Llama3sSpecialTokensAreMetas) {
  const auto tokenizer = open(bytes_of("llama3-model"));
  EXPECT_EQ(tokenizer->vocabulary_size(), 556 + 256);
  EXPECT_EQ(tokenizer->bos(), 556);
  EXPECT_EQ(tokenizer->eos(), 557);
  EXPECT_EQ(tokenizer->token_to_id("<|eot_id|>"), 565);
  EXPECT_EQ(tokenizer->token_to_id("<|reserved_special_token_245|>"), 811);
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
