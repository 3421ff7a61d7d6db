#include "harness/report/paired_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "harness/report/render.h"
#include "harness/report/statistics.h"
#include "tests/report/stored_runs.h"

namespace harness::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class PairedTableTest : public ::testing::Test {
 protected:
  void put(const std::string& label, const std::vector<TestItem>& items, std::int64_t seed = 0) {
    runs_.put({.label = label, .seed = seed}, items);
  }
  Table table() { return paired_table(runs_.store(), "table", "original"); }
  static double exact(const Cell& cell) { return std::stod(*cell.exact); }
  static double error(const Cell& cell) { return std::stod(cell.details.at(0).second); }

  StoredRuns runs_;
};

TEST_F(PairedTableTest, DifferencesOfMeansHaveTheErrorOfTheItemsDifferences) {
  put("original", items_of({1, 5, 9, 13}));
  put("theirs", items_of({1.5, 5.5, 9.5, 14.5}));  // differences .5, .5, .5, 1.5
  const Table made = table();
  ASSERT_EQ(made.rows.size(), 1u);
  EXPECT_EQ(cell(made, 0, "run").text, "theirs");
  EXPECT_EQ(cell(made, 0, "metric").text, "acc");
  EXPECT_DOUBLE_EQ(exact(cell(made, 0, "reference")), 7);
  EXPECT_DOUBLE_EQ(exact(cell(made, 0, "value")), 7.75);
  EXPECT_DOUBLE_EQ(exact(cell(made, 0, "difference")), 0.75);
  EXPECT_DOUBLE_EQ(error(cell(made, 0, "difference")), 0.25);  // sd 0.5 of 4
  EXPECT_EQ(cell(made, 0, "difference").text, "+0.75 ± 0.25");
  EXPECT_EQ(cell(made, 0, "ratio").text, "–");
  EXPECT_EQ(cell(made, 0, "items").text, "4");
  EXPECT_EQ(cell(made, 0, "higher").text, "4");
  EXPECT_EQ(cell(made, 0, "lower").text, "0");
}

TEST_F(PairedTableTest, AllPairsAreAdjustedForEachOther) {
  put("a", items_of(std::vector<double>(12, 0)));
  put("b", items_of(std::vector<double>(12, 1)));
  put("c", items_of(std::vector<double>(12, 1)));
  const Table made = all_pairs_table(runs_.store(), "table");
  ASSERT_EQ(made.rows.size(), 3u);
  std::vector<std::string> pairs;
  for (std::size_t r = 0; r < made.rows.size(); ++r)
    pairs.push_back(cell(made, r, "run").text + " " + cell(made, r, "against").text);
  EXPECT_THAT(pairs, ::testing::ElementsAre("b a", "c a", "c b"));
  // All twelve items on one side, exact McNemar: 2 / 2^12; Holm: times 3, then times 2 at least.
  EXPECT_NEAR(exact(cell(made, 0, "p")), 2 / 4096.0, 1e-12);
  EXPECT_NEAR(exact(cell(made, 0, "p (Holm)")), 6 / 4096.0, 1e-12);
  EXPECT_NEAR(exact(cell(made, 2, "p (Holm)")), 1, 1e-12);
}

TEST_F(PairedTableTest, ClustersWidenTheError) {
  auto items = [](double a, double b, double c, double d) {
    return std::vector<TestItem>{{a, "a"}, {b, "a"}, {c, "b"}, {d, "b"}};
  };
  put("original", items(0, 0, 0, 0));
  put("theirs", items(1, 2, 4, 5));
  EXPECT_DOUBLE_EQ(error(cell(table(), 0, "difference")), 1.5);
}

TEST_F(PairedTableTest, PerplexityIsComparedAsARatioToo) {
  const std::vector<double> before = {2.0, 2.5, 3.0}, after = {2.1, 2.7, 3.0};
  for (const auto& [label, scores] : {std::pair("original", before), std::pair("theirs", after)})
    runs_.put_eval({.label = label}, {},
                   {StoredRuns::count("perplexity", std::exp(mean(scores)), 3),
                    StoredRuns::count("nll", mean(scores), 3), StoredRuns::count("tokens", 777, 3)},
                   items_of(scores));
  const Table made = table();
  ASSERT_EQ(made.rows.size(), 2u);
  const double ratio = std::exp(0.1), p = std::exp(2.6), q = std::exp(2.5);
  EXPECT_EQ(cell(made, 0, "metric").text, "perplexity");
  EXPECT_NEAR(exact(cell(made, 0, "ratio")), ratio, 1e-12);
  EXPECT_NEAR(error(cell(made, 0, "ratio")), ratio * 0.1 / std::sqrt(3), 1e-12);
  EXPECT_NEAR(exact(cell(made, 0, "difference")), p - q, 1e-12);
  EXPECT_NEAR(error(cell(made, 0, "difference")),
              standard_error_of_mean({p * 2.1 - q * 2.0, p * 2.7 - q * 2.5, p * 3.0 - q * 3.0}),
              1e-12);
  EXPECT_EQ(cell(made, 0, "higher").text, "2");
  EXPECT_EQ(cell(made, 0, "lower").text, "0");
  EXPECT_EQ(cell(made, 1, "metric").text, "nll");
  EXPECT_NEAR(exact(cell(made, 1, "difference")), 0.1, 1e-12);
  EXPECT_THAT(made.notes, Contains(HasSubstr("not paired: tokens")));
}

TEST_F(PairedTableTest, OtherItemsAreNotCompared) {
  put("original", items_of({1, 2, 3, 4}));
  put("theirs", items_of({1, 2, 3}));
  const Table made = table();
  EXPECT_TRUE(made.rows.empty());
  EXPECT_THAT(made.notes,
              Contains(HasSubstr("3 of its 3 items are among the reference's 4 (another "
                                 "tokenizer")));
}

TEST_F(PairedTableTest, SeveralSeedsAreComparedSeedBySeed) {
  put("original", items_of({0, 0}), 1);
  put("original", items_of({10, 10}), 2);
  put("theirs", items_of({1, 1}), 1);
  put("theirs", items_of({12, 12}), 2);
  const Table made = table();
  ASSERT_EQ(made.rows.size(), 1u);
  EXPECT_EQ(exact(cell(made, 0, "difference")), 1.5);
  EXPECT_EQ(error(cell(made, 0, "difference")), .5);
  EXPECT_EQ(cell(made, 0, "items").text, "2 seeds");
  EXPECT_EQ(exact(cell(made, 0, "p (Holm)")), t_test({1, 2}).p);
}

TEST_F(PairedTableTest, ASeedThatStandsAloneHasTheReferenceOfItsSeed) {
  put("original", items_of({0, 0}), 1);
  put("original", items_of({10, 10}), 2);
  put("theirs", items_of({12, 13}), 2);
  const Table made = table();
  ASSERT_EQ(made.rows.size(), 1u);
  EXPECT_EQ(exact(cell(made, 0, "difference")), 2.5);
}

TEST_F(PairedTableTest, TestsOfOneMetricAreAdjustedForEachOther) {
  put("original", items_of({1, 1, 1, 1, 1, 1, 1, 1}));
  put("one", items_of({0, 0, 0, 0, 0, 0, 0, 1}));    // 2 / 128
  put("other", items_of({0, 0, 0, 0, 0, 0, 1, 1}));  // 2 / 64
  const Table made = table();
  EXPECT_DOUBLE_EQ(exact(cell(made, 0, "p (Holm)")), 4.0 / 128);
  EXPECT_DOUBLE_EQ(exact(cell(made, 1, "p (Holm)")), 4.0 / 128);
  EXPECT_EQ(exact(cell(made, 1, "p")), 2.0 / 64);
  EXPECT_EQ(cell(made, 0, "test").text, "exact McNemar, 8 items");
}

TEST_F(PairedTableTest, ARunWithoutResultsIsNamed) {
  put("original", items_of({0, 0}));
  runs_.put_run({.label = "waiting"});
  EXPECT_THAT(table().notes, Contains(HasSubstr("waiting: nothing was measured")));
}

TEST_F(PairedTableTest, AReferenceThatIsNotThereListsTheLabels) {
  put("theirs", items_of({0, 0}));
  EXPECT_THAT(error_of([&] { table(); }), HasSubstr("one of theirs"));
}

TEST_F(PairedTableTest, IsReadableAsText) {
  put("original", items_of({0, 0, 1, 1}));
  put("theirs", items_of({0, 0, 0, 1}));
  const std::string expected =
      "table: each run against original\n"
      "run     metric  reference   value    difference   95 % interval  ratio  p  p (Holm)  "
      "items  "
      "higher  lower\n"
      "──────  ──────  ─────────  ──────  ────────────  ──────────────  ─────  ─  ────────  "
      "─────  "
      "──────  ─────\n"
      "theirs  acc        0.5000  0.2500  -0.25 ± 0.25  -0.75 to +0.00      –  1         1      "
      "4  "
      "     0      1\n"
      "Protocol: p/1\n"
      "±: standard error from the differences of items; higher, lower: how many of them rose or "
      "fell\n"
      "95 % interval: paired bootstrap (of the counts of independent 0/1 items, else of clusters "
      "or "
      "of blocks of windows)\n"
      "p: two-sided, of no difference: exact McNemar\n"
      "(Holm): adjusted for the runs that a metric is compared of\n";
  EXPECT_EQ(to_text(table()), expected);
}

}  // namespace
}  // namespace harness::test
