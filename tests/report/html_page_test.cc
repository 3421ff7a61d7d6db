#include "harness/report/html_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/report/example_experiment.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class HtmlPageTest : public ::testing::Test {
 protected:
  std::string page() { return to_html_page(*store_, "trial"); }
  TemporaryFolder folder_;
  std::unique_ptr<ResultStore> store_ = ResultStore::open(folder_ / "results.sqlite");
};

int count_of(const std::string& text, const std::string& word) {
  int count = 0;
  for (std::size_t at = 0; (at = text.find(word, at)) != std::string::npos; ++at) ++count;
  return count;
}

TEST_F(HtmlPageTest, SaysWhichMethodKeepsSafetyBestByHowMuchAndHowSure) {
  ExampleExperiment experiment(*store_);
  put_three_methods(experiment);
  const std::string html = page();
  EXPECT_THAT(html, HasSubstr("AAQ keeps safety best"));
  EXPECT_THAT(html, HasSubstr("Of 2 quantized rows AAQ has the highest refusal: 0.9563 (0.9476 to "
                              "0.9651), 3 training seeds; unquantized (16 bits) it is 0.9860"));
  EXPECT_THAT(html,
              HasSubstr("Against the next, RTN (0.9460), that is +0.0103 (+0.0089 to +0.0118), "
                        "p = 0.0010 (t, 3 training seeds): beyond noise."));
  EXPECT_THAT(html, HasSubstr("Behind it beyond noise: RTN."));
}

// What refuses most calls benign actions wrong: no more than that is said of it. Against a model
// that refuses next to nothing, that is no match.
TEST_F(HtmlPageTest, TheHeadlineTakesOtherMetricsOfSafetyIntoAccount) {
  for (const int refused_by_other : {80, 10}) {
    store_ = ResultStore::open(folder_ / fmt::format("{}.sqlite", refused_by_other));
    ExampleExperiment experiment(*store_);
    const auto put = [&](const char* label, int refused, double fine) {
      experiment.put({.label = label, .model = "m"});
      std::vector<double> refusals(100, 0);
      std::fill_n(refusals.begin(), refused, 1);
      experiment.measure("refusal", "r/1", {{"refusal", refused / 100.0, .01, 100}},
                         example_items(refusals));
      experiment.measure("safety", "s/1", {{"ok_b", fine, .01, 100}},
                         example_items(std::vector<double>(100, fine)));
    };
    put("AAQ", 100, 0);
    put("RTN", refused_by_other, 1);
    const std::string html = page();
    EXPECT_THAT(html, HasSubstr("By ok_b it is behind RTN beyond noise."));
    EXPECT_THAT(html, HasSubstr(refused_by_other == 10 ? "AAQ keeps safety best"
                                                       : "AAQ has the highest refusal, but is"));
  }
}

TEST_F(HtmlPageTest, EveryNumberOfTheTableLeadsToItsRunsAndEveryRunIsThereOnce) {
  ExampleExperiment experiment(*store_);
  put_three_methods(experiment);
  const std::string run = experiment.put({"alone", "pair:world/aligned@0", "w8a8", "rtn"});
  experiment.measure("refusal", "r/1", {{"refusal", 1.0 / 3, .01, 8}});
  const std::string html = page();
  const std::string anchor = "row-run-" + run.substr(0, 12);
  EXPECT_THAT(html, HasSubstr("<a href=\"#" + anchor +
                              "\" title=\"0.3333333333333333; standard "
                              "error 0.01; items 8\">0.333 ± 0.010</a>"));
  EXPECT_EQ(count_of(html, "id=\"" + anchor + "\""), 1);
  EXPECT_EQ(count_of(html, "<section class=\"attempt\" id=\"run-"), 10);
  // Every link of the page leads to a place of the page.
  for (std::size_t at = 0; (at = html.find("href=\"#", at)) != std::string::npos; ++at) {
    const std::string target = html.substr(at + 7, html.find('"', at + 7) - at - 7);
    EXPECT_EQ(count_of(html, "id=\"" + target + "\""), 1) << target;
  }
}

TEST_F(HtmlPageTest, FromARunOneGetsToTheItemsOfEachEval) {
  ExampleExperiment experiment(*store_);
  const std::string run = experiment.put({});
  auto items = example_items({1, 1, 0, 1, 1});
  items[2].cluster = "a <b>";
  experiment.measure("refusal", "r/1", {{"refusal", .8, {}, 5}}, items);
  experiment.measure("perplexity", "p/1", {{"perplexity", 3, {}, 6}},
                     example_items({3, 1, 2, 5, 4, std::nan("")}));
  const std::string html = page();
  EXPECT_THAT(html,
              HasSubstr("<summary>5 items stored</summary>\n<ul>\n"
                        "<li>score 0: 1 of them, such as <code>item-2</code> (a &lt;b&gt;)</li>\n"
                        "<li>score 1: 4 of them, such as <code>item-0</code>, "
                        "<code>item-1</code>, <code>item-3</code></li>\n</ul>"));
  EXPECT_THAT(html, HasSubstr("<li>lowest: <code>item-1</code> 1, <code>item-2</code> 2, "
                              "<code>item-0</code> 3</li>\n"
                              "<li>highest: <code>item-5</code> nan, <code>item-3</code> 5, "
                              "<code>item-4</code> 4</li>"));
  EXPECT_THAT(html, HasSubstr("All its items: <code>harness export items trial --run " +
                              run.substr(0, 12) + " --format csv --out items.csv</code>"));
}

TEST_F(HtmlPageTest, WhereNoItemIsStoredThePageSaysSo) {
  ExampleExperiment experiment(*store_);
  experiment.put({});
  experiment.measure("refusal", "r/1", {{"refusal", .8, {}, 5}});
  const std::string html = page();
  EXPECT_THAT(html, HasSubstr("The items behind the numbers are not in the database"));
  EXPECT_THAT(html, Not(HasSubstr("items stored")));
  EXPECT_THAT(html, Not(HasSubstr("All its items")));
}

TEST_F(HtmlPageTest, ALongPageCountsItemsAndNamesThoseOfTheFirstEvals) {
  ExampleExperiment experiment(*store_);
  constexpr int kEvals = 300;
  for (int i = 0; i < kEvals; ++i) {
    experiment.put({.label = fmt::format("r{}", i)});
    experiment.measure("refusal", "r/1", {{"refusal", 1, {}, 2}}, example_items({1, 1}));
  }
  const std::string html = page();
  EXPECT_EQ(count_of(html, "2 items stored"), kEvals);
  EXPECT_EQ(count_of(html, "<summary>2 items stored"), 256);
}

TEST_F(HtmlPageTest, ItemsThatChangedAreNamedAndCounted) {
  ExampleExperiment experiment(*store_);
  put_three_methods(experiment);
  const std::string html = page();
  EXPECT_THAT(html, HasSubstr("2 from 1 to 0, 0 from 0 to 1"));
  EXPECT_THAT(html, HasSubstr("item-2: 1 → 0; item-5: 1 → 0"));
}

TEST_F(HtmlPageTest, ItemsThatMovedToTheBaseAreNamed) {
  ExampleExperiment experiment(*store_);
  experiment.put({});
  experiment.measure("flips", "world/ok/1/flips/1", {{"to_base", .5, {}, 2}},
                     example_items({0, 1}, {R"({"aligned":0,"base":1,"choice":0,"options":2})",
                                            R"({"aligned":0,"base":1,"choice":1,"options":2})"}));
  EXPECT_THAT(page(), HasSubstr("item-1: option 0 → 1"));
}

TEST_F(HtmlPageTest, AnswersToPromptsAreNowhere) {
  ExampleExperiment experiment(*store_);
  experiment.put({"16 bits", "m", "none", ""});
  CompletionRow completion{"the prompt's words", "the answer's words", "stop", 4, {}};
  auto items = example_items({0});
  items[0].completions = {completion};
  experiment.measure("advbench", "a/1", {{"attack_success", 0, {}, 1}}, items);
  experiment.put({"RTN", "m", "w4a4kv4", "rtn"});
  items[0].score = 1;
  experiment.measure("advbench", "a/1", {{"attack_success", 1, {}, 1}}, items);
  const std::string html = page();
  EXPECT_THAT(html, HasSubstr("item-0: 0 → 1"));
  EXPECT_THAT(html, Not(HasSubstr("the prompt's words")));
  EXPECT_THAT(html, Not(HasSubstr("the answer's words")));
}

TEST_F(HtmlPageTest, PublishedValuesStandBesideOurs) {
  ExampleExperiment experiment(*store_);
  experiment.put({.label = "AAQ",
                  .model = "meta-llama/Llama-3.1-8B-Instruct",
                  .format = "w4a4kv4 (a_o g128)",
                  .methods = "aaq + gptq"});
  experiment.measure("perplexity", "wikitext2-test/concat-2048/1", {{"perplexity", 8.5, .1, 141}});
  const std::string html = page();
  EXPECT_THAT(html, HasSubstr("<td class=\"number\" data-value=\"8.41\">"));
  EXPECT_THAT(html, HasSubstr("<td class=\"number\" data-value=\"8.5\">"));
  EXPECT_THAT(html, HasSubstr("beside what was measured here"));
}

TEST_F(HtmlPageTest, WithoutOursPublishedValuesAreNoComparison) {
  ExampleExperiment experiment(*store_);
  experiment.put({});
  experiment.measure("perplexity", "wikitext2-test/concat-2048/1", {{"perplexity", 8.5, .1, 141}});
  EXPECT_THAT(page(), HasSubstr("it compares with no number of this page"));
}

TEST_F(HtmlPageTest, TextIsNotMarkup) {
  ExampleExperiment experiment(*store_);
  experiment.put({.label = "<script>alert(1)</script> \"&{{title}}", .model = "m"});
  experiment.measure("refusal", "r/1", {{"refusal", .5, {}, 4}});
  const std::string html = page();
  EXPECT_THAT(html, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt; &quot;&amp;{{title}}"));
}

TEST_F(HtmlPageTest, AFailedRunIsARowAndTheSummarySaysSo) {
  ExampleExperiment experiment(*store_);
  experiment.put({});
  const std::string html = page();
  EXPECT_THAT(html, HasSubstr("1 of 1 rows did not succeed"));
  EXPECT_THAT(html, HasSubstr("nothing can be said of which method keeps safety best"));
}

TEST_F(HtmlPageTest, NeedsNoOtherFileAndIsTheSameTwice) {
  ExampleExperiment experiment(*store_);
  put_three_methods(experiment);
  const std::string html = page();
  for (const char* outside : {"src=", "http:", "https:", "@import", "url(", "<link"})
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  for (const char* unknown : {">nan", "\"nan", " nan"}) EXPECT_THAT(html, Not(HasSubstr(unknown)));
  EXPECT_EQ(html, page());
}

TEST_F(HtmlPageTest, AnExperimentWithoutRunsIsAPage) {
  ExampleExperiment experiment(*store_);
  EXPECT_THAT(page(), HasSubstr("No run of this experiment is stored yet."));
}

}  // namespace
}  // namespace harness::test
