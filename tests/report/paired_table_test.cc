#include "harness/report/paired_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "harness/report/render.h"
#include "harness/report/statistics.h"
#include "tests/store/example_store.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class PairedTableTest : public ::testing::Test {
 protected:
  PairedTableTest() { store_->put_experiment(experiment_); }

  /// A run whose eval scored these items ("0", "1", ...).
  void put(const std::string& label, int position, const std::vector<double>& scores,
           const std::vector<MetricRow>& metrics, std::int64_t seed = 0,
           const std::vector<std::string>& clusters = {}) {
    const RunRow run = example_run(experiment_, label, position, seed);
    store_->put_run(run);
    StageRow stage = example_stage(run.canonical);
    stage.name = "tasks";
    stage.protocol = "p/1";
    store_->put_stage(stage);
    store_->link(run.key, stage.key, 0);
    std::vector<ItemRow> items;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      ItemRow item;
      item.id = std::to_string(i);
      item.score = scores[i];
      if (!clusters.empty()) item.cluster = clusters[i];
      items.push_back(item);
    }
    store_result(*store_, run, stage, metrics, items);
  }
  void put_mean(const std::string& label, int position, const std::vector<double>& scores,
                std::int64_t seed = 0, const std::vector<std::string>& clusters = {}) {
    put(label, position, scores, {{"accuracy", mean(scores), {}, 4}}, seed, clusters);
  }
  Table table() { return paired_table(*store_, "quickstart", "original"); }
  static const Cell& cell(const Table& table, std::size_t row, const std::string& title) {
    for (std::size_t c = 0; c < table.columns.size(); ++c)
      if (table.columns[c].title == title) return table.rows.at(row).at(c);
    throw Error("table", "no column " + title);
  }
  static double exact(const Cell& cell) { return std::stod(*cell.exact); }
  static double error(const Cell& cell) { return std::stod(cell.details.at(0).second); }

  TemporaryFolder folder_;
  std::unique_ptr<ResultStore> store_ = ResultStore::open(folder_ / "results.sqlite");
  ExperimentRow experiment_ = example_experiment("quickstart");
};

TEST_F(PairedTableTest, DifferencesOfMeansHaveTheErrorOfTheItemsDifferences) {
  put_mean("original", 0, {1, 5, 9, 13});
  put_mean("theirs", 1, {1.5, 5.5, 9.5, 14.5});  // differences .5, .5, .5, 1.5
  const Table made = table();
  ASSERT_EQ(made.rows.size(), 1u);
  EXPECT_EQ(cell(made, 0, "run").text, "theirs");
  EXPECT_EQ(cell(made, 0, "metric").text, "accuracy");
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

TEST_F(PairedTableTest, ClustersWidenTheError) {
  const std::vector<std::string> clusters = {"a", "a", "b", "b"};
  put_mean("original", 0, {0, 0, 0, 0}, 0, clusters);
  put_mean("theirs", 1, {1, 2, 4, 5}, 0, clusters);
  EXPECT_DOUBLE_EQ(error(cell(table(), 0, "difference")), 1.5);
}

TEST_F(PairedTableTest, PerplexityIsComparedAsARatioToo) {
  const std::vector<double> before = {2.0, 2.5, 3.0}, after = {2.1, 2.7, 3.0};
  auto metrics = [](const std::vector<double>& scores) {
    return std::vector<MetricRow>{{"perplexity", std::exp(mean(scores)), {}, 3},
                                  {"nll", mean(scores), {}, 3},
                                  {"tokens", 777, {}, 3}};
  };
  put("original", 0, before, metrics(before));
  put("theirs", 1, after, metrics(after));
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
  put_mean("original", 0, {1, 2, 3, 4});
  put_mean("theirs", 1, {1, 2, 3});
  const Table made = table();
  EXPECT_TRUE(made.rows.empty());
  EXPECT_THAT(made.notes,
              Contains(HasSubstr("3 of its 3 items are among the reference's 4 (another "
                                 "tokenizer")));
}

TEST_F(PairedTableTest, SeveralSeedsAreComparedSeedBySeed) {
  put_mean("original", 0, {0, 0}, 1);
  put_mean("original", 1, {10, 10}, 2);
  put_mean("theirs", 2, {1, 1}, 1);
  put_mean("theirs", 3, {12, 12}, 2);
  const Table made = table();
  ASSERT_EQ(made.rows.size(), 1u);
  EXPECT_EQ(exact(cell(made, 0, "difference")), 1.5);
  EXPECT_EQ(error(cell(made, 0, "difference")), .5);
  EXPECT_EQ(cell(made, 0, "items").text, "2 seeds");
  EXPECT_EQ(exact(cell(made, 0, "p (Holm)")), t_test({1, 2}).p);
}

TEST_F(PairedTableTest, ASeedThatStandsAloneHasTheReferenceOfItsSeed) {
  put_mean("original", 0, {0, 0}, 1);
  put_mean("original", 1, {10, 10}, 2);
  put_mean("theirs", 2, {12, 13}, 2);
  const Table made = table();
  ASSERT_EQ(made.rows.size(), 1u);
  EXPECT_EQ(exact(cell(made, 0, "difference")), 2.5);
}

TEST_F(PairedTableTest, TestsOfOneMetricAreAdjustedForEachOther) {
  put_mean("original", 0, {1, 1, 1, 1, 1, 1, 1, 1});
  put_mean("one", 1, {0, 0, 0, 0, 0, 0, 0, 1});    // 2 / 128
  put_mean("other", 2, {0, 0, 0, 0, 0, 0, 1, 1});  // 2 / 64
  const Table made = table();
  EXPECT_DOUBLE_EQ(exact(cell(made, 0, "p (Holm)")), 4.0 / 128);
  EXPECT_DOUBLE_EQ(exact(cell(made, 1, "p (Holm)")), 4.0 / 128);
  EXPECT_EQ(exact(cell(made, 1, "p")), 2.0 / 64);
  EXPECT_EQ(cell(made, 0, "test").text, "exact McNemar, 8 items");
}

TEST_F(PairedTableTest, ARunWithoutResultsIsNamed) {
  put_mean("original", 0, {0, 0});
  store_->put_run(example_run(experiment_, "waiting", 1));
  EXPECT_THAT(table().notes, Contains(HasSubstr("waiting: nothing was measured")));
}

TEST_F(PairedTableTest, AReferenceThatIsNotThereListsTheLabels) {
  put_mean("theirs", 0, {0, 0});
  EXPECT_THAT(error_of([&] { table(); }), HasSubstr("one of theirs"));
}

TEST_F(PairedTableTest, IsReadableAsText) {
  put_mean("original", 0, {0, 0, 1, 1});
  put_mean("theirs", 1, {0, 0, 0, 1});
  const std::string expected =
      "quickstart: each run against original\n"
      "run     metric    reference   value    difference   95 % interval  ratio  p  p (Holm)  "
      "items  "
      "higher  lower\n"
      "──────  ────────  ─────────  ──────  ────────────  ──────────────  ─────  ─  ────────  "
      "─────  "
      "──────  ─────\n"
      "theirs  accuracy     0.5000  0.2500  -0.25 ± 0.25  -0.75 to +0.00      –  1         1      "
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
