#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "harness/plugin/plugins.h"
#include "tests/evals/eval_support.h"
#include "tests/evals/stored_result.h"
#include "tests/support/support.h"

void register_perplexity(harness::Plugins& plugins);

namespace harness {
namespace {

using test::error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

/// Tokens are bytes, BOS is 256.
class ByteTokenizer : public Tokenizer {
 public:
  explicit ByteTokenizer(bool adds_bos, bool has_bos = true)
      : adds_bos_(adds_bos), has_bos_(has_bos) {}
  std::vector<std::int64_t> encode(std::string_view text, bool) const override {
    std::vector<std::int64_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(const std::vector<std::int64_t>&) const override { return {}; }
  std::int64_t vocabulary_size() const override { return 257; }
  std::optional<std::int64_t> bos() const override {
    return has_bos_ ? std::optional<std::int64_t>(256) : std::nullopt;
  }
  std::optional<std::int64_t> eos() const override { return std::nullopt; }
  bool adds_bos() const override { return adds_bos_; }
  std::optional<std::int64_t> token_to_id(std::string_view) const override { return std::nullopt; }
  std::string digest() const override { return "bytes"; }

 private:
  bool adds_bos_, has_bos_;
};

/// A model whose likelihoods are the formula of tests/golden/perplexity/generate.py.
class FormulaModel : public Model {
 public:
  explicit FormulaModel(bool adds_bos = false, bool has_bos = true)
      : tokenizer_(adds_bos, has_bos) {}
  const Tokenizer& tokenizer() const override { return tokenizer_; }
  std::int64_t vocabulary_size() const override { return vocabulary; }
  std::int64_t max_tokens() const override { return positions; }
  at::Tensor logits(const at::Tensor&) const override { return {}; }
  at::Tensor token_nll(const at::Tensor& tokens) const override {
    batches.push_back(tokens.size(0));
    const std::int64_t length = tokens.size(1);
    const at::Tensor previous = tokens.narrow(1, 0, length - 1);
    const at::Tensor next = tokens.narrow(1, 1, length - 1);
    const at::Tensor place = at::arange(1, length, at::kLong);
    return at::remainder(previous * 31 + next * 17 + place * 7, 101).to(at::kFloat) / 32 + shift;
  }

  std::int64_t vocabulary = 257, positions = 4096;
  float shift = 0;
  mutable std::vector<std::int64_t> batches;  // rows of each call

 private:
  ByteTokenizer tokenizer_;
};

std::unique_ptr<Eval> build(const std::string& options) {
  return test::build_eval(register_perplexity, "perplexity", options);
}

/// Measures `text`, given as a file, with those options (TOML).
test::EvalResult measure(const Model& model, const std::string& text, const std::string& options) {
  test::TemporaryFolder folder;
  test::write_file(folder / "text.txt", text);
  return test::run_eval(*build("text = \"text.txt\"\n" + options), model, folder.path().string());
}

const nlohmann::json& golden() {
  static const auto data =
      nlohmann::json::parse(test::read_file(test::golden("perplexity/windows.json")));
  return data;
}

std::string golden_text() { return golden().at("text").get<std::string>(); }

// Window, tail, BOS, limit and standard errors, against numpy in float64.
TEST(Perplexity, IsThatOfTheGoldenCases) {
  for (const auto& expected : golden().at("cases")) {
    SCOPED_TRACE(expected.dump());
    std::string options = fmt::format("window = {}\nbos = {}\n", expected.at("window").dump(),
                                      expected.at("bos").dump());
    if (!expected.at("limit").is_null())
      options += fmt::format("limit = {}\n", expected.at("limit").dump());
    const test::EvalResult result = measure(FormulaModel(), golden_text(), options);

    const auto windows = expected.at("windows").get<std::vector<double>>();
    ASSERT_EQ(result.items.size(), windows.size());
    for (std::size_t i = 0; i < windows.size(); ++i)
      EXPECT_NEAR(result.items[i].score, windows[i], 1e-12);
    for (const std::string name : {"nll", "perplexity"}) {
      const Metric& metric = result.metric(name);
      const double value = expected.at(name).get<double>();
      EXPECT_NEAR(metric.value, value, 1e-12 * value) << name;
      EXPECT_EQ(metric.count, static_cast<std::int64_t>(windows.size())) << name;
      ASSERT_EQ(metric.standard_error.has_value(), expected.contains(name + "_error")) << name;
      if (metric.standard_error) {
        const double error = expected.at(name + "_error").get<double>();
        EXPECT_NEAR(*metric.standard_error, error, 1e-10 * error) << name;
      }
    }
    EXPECT_EQ(result.metric("tokens").value, expected.at("tokens").get<double>());
  }
}

TEST(Perplexity, UniformModelHasItsVocabularysPerplexity) {
  class Uniform : public FormulaModel {
    at::Tensor token_nll(const at::Tensor& tokens) const override {
      return at::full({tokens.size(0), tokens.size(1) - 1}, std::log(257.0), at::kFloat);
    }
  };
  const test::EvalResult result = measure(Uniform(), golden_text(), "window = 32");
  EXPECT_NEAR(result.metric("perplexity").value, 257, 1e-4);
  EXPECT_NEAR(*result.metric("perplexity").standard_error, 0, 1e-9);
}

TEST(Perplexity, BosIsAsTheTokenizerDoesUnlessSaid) {
  EXPECT_EQ(
      measure(FormulaModel(true), golden_text(), "window = 16").metric("nll").value,
      measure(FormulaModel(false), golden_text(), "window = 16\nbos = true").metric("nll").value);
  EXPECT_EQ(
      measure(FormulaModel(false), golden_text(), "window = 16").metric("nll").value,
      measure(FormulaModel(true), golden_text(), "window = 16\nbos = false").metric("nll").value);
}

TEST(Perplexity, BatchChangesNoNumber) {
  FormulaModel one, four;
  const test::EvalResult a = measure(one, golden_text(), "window = 16");
  const test::EvalResult b = measure(four, golden_text(), "window = 16\nbatch = 4");
  ASSERT_EQ(a.items.size(), b.items.size());
  for (std::size_t i = 0; i < a.items.size(); ++i) {
    EXPECT_EQ(a.items[i].score, b.items[i].score);
    EXPECT_EQ(a.items[i].id, b.items[i].id);
  }
  EXPECT_THAT(four.batches, ElementsAre(4, 4, 4, 3));
  EXPECT_EQ(one.batches.size(), 15u);
}

TEST(Perplexity, LimitBeyondTheTextTakesAllWindows) {
  EXPECT_EQ(measure(FormulaModel(), golden_text(), "window = 16\nlimit = 99").items.size(), 15u);
}

TEST(Perplexity, EqualWindowsHaveIdsOfTheirOwn) {
  const test::EvalResult result = measure(FormulaModel(), std::string(64, 'a'), "window = 16");
  std::set<std::string> ids;
  for (const EvalItem& item : result.items) {
    EXPECT_EQ(item.id.size(), 16u);
    ids.insert(item.id);
  }
  EXPECT_EQ(ids.size(), 4u);
}

TEST(Perplexity, ItemsPairBetweenModelsAndLimits) {
  FormulaModel other;
  other.shift = 1;
  const test::EvalResult a = measure(FormulaModel(), golden_text(), "window = 16");
  const test::EvalResult b = measure(other, golden_text(), "window = 16\nlimit = 2");
  EXPECT_EQ(a.items[1].id, b.items[1].id);
  EXPECT_NEAR(a.items[1].score + 1, b.items[1].score, 1e-6);
}

TEST(Perplexity, ItemsSayTheirPositionAndTokens) {
  const test::EvalResult result = measure(FormulaModel(), golden_text(), "window = 16");
  EXPECT_EQ(result.items[2].detail.find("position")->as_int(), 2);
  EXPECT_EQ(result.items[2].detail.find("tokens")->as_int(), 15);
  EXPECT_EQ(static_cast<double>(result.items[2].detail.find("text_tokens")->as_int()),
            result.metric("tokens").value);
}

TEST(Perplexity, ASampleIsAPartOfTheWhole) {
  test::TemporaryFolder folder;
  test::write_file(folder / "text.txt", golden_text());
  test::expect_samples_are_parts(*build("text = \"text.txt\"\nwindow = 16\nbatch = 2"),
                                 FormulaModel(), folder.path().string());
}

TEST(Perplexity, ProgressIsToldAfterEachBatch) {
  EXPECT_THAT(measure(FormulaModel(), golden_text(), "window = 100\nbatch = 1").updates,
              ElementsAre(std::pair(1.0, 2.0), std::pair(2.0, 2.0)));
}

TEST(Perplexity, InfiniteLikelihoodsAreReportedWithoutAStandardError) {
  FormulaModel model;
  model.shift = std::numeric_limits<float>::infinity();
  const Metric metric = measure(model, golden_text(), "window = 16").metric("perplexity");
  EXPECT_TRUE(std::isinf(metric.value));
  EXPECT_FALSE(metric.standard_error.has_value());
}

// results/queries/perplexity_metrics.sql. Of the tail that `tokens` counts no item is stored.
TEST(Perplexity, AQueryRecomputesEveryMetricFromTheItems) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double shift : {0., 1000., infinity, std::nan("")}) {
    SCOPED_TRACE(shift);
    FormulaModel model;
    model.shift = static_cast<float>(shift);
    test::expect_recomputed(measure(model, golden_text(), "window = 16"), "perplexity",
                            "perplexity_metrics");
  }
}

TEST(PerplexityProtocol, SaysWhatDepartsFromTheDefault) {
  EXPECT_EQ(build("")->protocol({}), "boolq-wiki-measure/concat-2048/1");
  EXPECT_EQ(build("text = \"wikitext2-test\"\nwindow = 512")->protocol({}),
            "wikitext2-test/concat-512/1");
  EXPECT_EQ(build("limit = 12")->protocol({}), "boolq-wiki-measure/concat-2048/1/first-12");
  EXPECT_EQ(build("bos = true")->protocol({}), "boolq-wiki-measure/concat-2048/1/bos");
  EXPECT_EQ(build("bos = false\nlimit = 3\ntext = \"some/notes.txt\"")->protocol({}),
            "notes.txt/concat-2048/1/no-bos/first-3");
  EXPECT_EQ(build("batch = 4")->protocol({}), build("")->protocol({}));
}

TEST(PerplexityOptions, WrongOnesAreErrors) {
  EXPECT_THAT(error_of([] { build("window = 1"); }), HasSubstr("at least 2"));
  EXPECT_THAT(error_of([] { build("limit = 0"); }), HasSubstr("at least 1"));
  EXPECT_THAT(error_of([] { build("batch = 0"); }), HasSubstr("at least 1"));
  EXPECT_THAT(error_of([] { build("windw = 16"); }), HasSubstr("did you mean \"window\"?"));
}

TEST(PerplexityErrors, TextShorterThanOneWindow) {
  EXPECT_THAT(error_of([] { measure(FormulaModel(), "only this", "window = 16"); }),
              AllOf(HasSubstr("text.txt"), HasSubstr("a text of 9 tokens"),
                    HasSubstr("one window of 16 tokens"), HasSubstr("window = 9 or less")));
}

TEST(PerplexityErrors, WindowLongerThanTheModelsPositions) {
  FormulaModel model;
  model.positions = 15;
  EXPECT_THAT(error_of([&] { measure(model, golden_text(), "window = 16"); }),
              AllOf(HasSubstr("window = 16"), HasSubstr("the model's 15 positions")));
}

TEST(PerplexityErrors, TokenBeyondTheVocabulary) {
  FormulaModel model;
  model.vocabulary = 100;
  EXPECT_THAT(error_of([&] { measure(model, "aAbBzZ", "window = 2"); }),
              AllOf(HasSubstr("token id 122"), HasSubstr("the model's vocabulary, 100")));
}

TEST(PerplexityErrors, BosWithoutABosToken) {
  const FormulaModel model(false, /*has_bos=*/false);
  EXPECT_THAT(error_of([&] { measure(model, golden_text(), "window = 16\nbos = true"); }),
              HasSubstr("the tokenizer has no BOS token"));
}

TEST(PerplexityCheck, FindsMissingAndEmptyTextsWithoutAModel) {
  test::TemporaryFolder folder;
  test::write_file(folder / "empty.txt", "");
  for (const auto& [name, message] :
       {std::pair("none.txt", "no such file"), std::pair("empty.txt", "an empty file")}) {
    Problems problems;
    build(fmt::format("text = \"{}\"", name))->check({folder.path().string()}, problems);
    EXPECT_THAT(problems.texts(), ElementsAre(AllOf(HasSubstr(name), HasSubstr(message))));
  }
}

TEST(PerplexityData, IsTheTextWithItsDigest) {
  const auto uses = build("")->data({});
  ASSERT_EQ(uses.size(), 1u);
  EXPECT_EQ(uses[0].name, "boolq-wiki-measure");
  // tests/golden/data/golden.json
  EXPECT_EQ(uses[0].digest, "516b8c51b7d2d025d55e0e5ba91de5da1a78955875fdc0cdea51674c94fc2c4c");
}

}  // namespace
}  // namespace harness
