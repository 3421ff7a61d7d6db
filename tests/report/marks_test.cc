#include "harness/report/marks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "harness/report/main_table.h"
#include "harness/report/render.h"
#include "tests/report/stored_runs.h"

namespace harness::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

/// So many items, of which the first are 1.
std::vector<TestItem> first_right(int right, int items) {
  std::vector<double> scores(static_cast<std::size_t>(items), 0.0);
  std::fill_n(scores.begin(), right, 1.0);
  return items_of(scores);
}

class MarksTest : public ::testing::Test {
 protected:
  void put(const std::string& label, int right, const std::string& format = "w4a16",
           const std::string& methods = "rtn") {
    runs_.put({.label = label, .format = format, .methods = methods}, first_right(right, 100));
  }
  void put_original(int right) { put("original", right, "none", ""); }
  Table table(const std::string& against = {}) {
    return main_table(runs_.store(), "table", kMainTableSql, against);
  }
  StoredRuns runs_;
};

TEST_F(MarksTest, TheReferenceIsTheUnquantizedRunAndTestsAreAdjustedOverTheColumn) {
  put_original(90);
  put("near", 87);    // 3 lost: p .25
  put("far", 70);     // 20 lost
  put("middle", 84);  // 6 lost: p .03125, of three .0625
  const Table made = table();
  EXPECT_FALSE(cell(made, 0, "acc").differs);
  EXPECT_FALSE(cell(made, 1, "acc").differs);
  EXPECT_TRUE(cell(made, 2, "acc").differs);
  EXPECT_FALSE(cell(made, 3, "acc").differs);
  EXPECT_EQ(cell(made, 3, "acc").details.back().first, "p against the reference");
  EXPECT_EQ(cell(made, 3, "acc").details.back().second, "0.0625");
  EXPECT_EQ(cell(made, 0, "acc").details.size(), 1u);  // the items; nothing was tested
  EXPECT_THAT(made.notes, Contains("†: differs from original, the reference (p < 0.05, Holm over "
                                   "the runs of its column; exact McNemar)"));
  EXPECT_THAT(to_text(made), HasSubstr("† 0.7000"));
}

TEST_F(MarksTest, TheBestOfAFormatIsMarkedWhereItsLeadIsOutsideNoise) {
  put("a", 60);
  put("b", 80);
  put("c", 70);
  put("d", 60, "w8a8");
  put("e", 62, "w8a8");
  const Table made = table();
  EXPECT_TRUE(cell(made, 1, "acc").best);
  for (std::size_t row : {0, 2, 3, 4}) EXPECT_FALSE(cell(made, row, "acc").best) << row;
  EXPECT_THAT(made.notes, Contains("★: best of its format, and its lead over the runner-up is "
                                   "outside noise (p < 0.05; exact McNemar): 1 of 2"));
  EXPECT_THAT(to_markdown(made), HasSubstr("| ★ 0.8000 |"));
}

TEST_F(MarksTest, ATieHasNoBest) {
  put("a", 80);
  put("b", 80);
  EXPECT_FALSE(cell(table(), 0, "acc").best);
  EXPECT_FALSE(cell(table(), 1, "acc").best);
}

TEST_F(MarksTest, TheUnquantizedRunIsNoCompetitor) {
  put_original(100);
  put("a", 60);
  put("b", 80);
  const Table made = table();
  EXPECT_FALSE(cell(made, 0, "acc").best);
  EXPECT_TRUE(cell(made, 2, "acc").best);
}

TEST_F(MarksTest, DetailsOfAFormatAreNoOtherFormat) {
  put("a", 60, "w4a4 (a clip 0.9)", "quarot");
  put("b", 80, "w4a4", "rtn");
  EXPECT_TRUE(cell(table(), 1, "acc").best);
}

TEST_F(MarksTest, LessIsBetterWhereTheMetricSaysSo) {
  for (const auto& [label, value] : {std::pair("a", 3.0), std::pair("b", 2.0)}) {
    std::vector<double> nll;
    for (int i = 0; i < 20; ++i) nll.push_back(value + .01 * i);
    runs_.put_eval({.label = label}, {.name = "perplexity"},
                   {StoredRuns::count("perplexity", std::exp(mean(nll)), 20)}, items_of(nll));
  }
  EXPECT_FALSE(cell(table(), 0, "perplexity").best);
  EXPECT_TRUE(cell(table(), 1, "perplexity").best);
}

TEST_F(MarksTest, ANamedReferenceReplacesTheDefault) {
  put_original(90);
  put("a", 60);
  put("b", 61);
  const Table made = table("a");
  EXPECT_TRUE(cell(made, 0, "acc").differs);
  EXPECT_FALSE(cell(made, 1, "acc").differs);
  EXPECT_FALSE(cell(made, 2, "acc").differs);
  EXPECT_THAT(made.notes, Contains(HasSubstr("differs from a, the reference")));
  EXPECT_THAT(error_of([&] { table("origina"); }), HasSubstr("did you mean \"original\"?"));
}

TEST_F(MarksTest, WithoutItemsOrAReferenceNothingIsMarkedAndNothingSaid) {
  runs_.put_value({.label = "original", .format = "none", .methods = ""}, "acc", .9);
  runs_.put_value({.label = "a"}, "acc", .5);
  runs_.put_value({.label = "b"}, "acc", .8);
  const Table made = table();
  for (std::size_t row : {0, 1, 2}) {
    EXPECT_FALSE(cell(made, row, "acc").best);
    EXPECT_FALSE(cell(made, row, "acc").differs);
  }
  EXPECT_THAT(made.notes, Not(Contains(HasSubstr("p <"))));
}

TEST_F(MarksTest, TheModelThatIsQuantizedGivesTheReference) {
  runs_.put({.label = "base", .model = "Base", .format = "none", .methods = ""},
            first_right(50, 100));
  put_original(90);
  put("a", 60);
  EXPECT_THAT(table().notes, Contains(HasSubstr("differs from original")));
}

TEST_F(MarksTest, OverTrainingSeedsTheSeedIsTheUnit) {
  const std::vector<double> noise = {.00, .02, -.01, .01};
  for (int seed = 0; seed < 4; ++seed)
    for (const auto& [label, methods, value] :
         {std::tuple("original", "", .9), std::tuple("good", "gptq", .8 + .1 * noise[seed]),
          std::tuple("bad", "rtn", .6 + noise[seed])})
      for (int calibration : {0, 1})
        runs_.put_value({.label = label,
                         .model = "pair:world/aligned@" + std::to_string(seed),
                         .format = *methods ? "w4a16" : "none",
                         .methods = methods,
                         .seed = calibration},
                        "acc", value + .3 * noise[seed] + (calibration ? .05 : -.05));
  const Table made = table();
  ASSERT_EQ(made.rows.size(), 3u);
  EXPECT_TRUE(cell(made, 1, "acc").differs);
  EXPECT_TRUE(cell(made, 1, "acc").best);
  EXPECT_TRUE(cell(made, 2, "acc").differs);
  EXPECT_THAT(made.notes, Contains(HasSubstr("runs of its column; t)")));
  EXPECT_THAT(made.notes,
              Contains("Rows of several seeds: mean ± standard deviation over seeds of training, "
                       "inside which calibration seeds are averaged"));
  // The spread of calibration seeds, .05, is no part of it.
  EXPECT_NEAR(std::stod(cell(made, 0, "acc").details.at(0).second), .3 * standard_deviation(noise),
              1e-12);
}

}  // namespace
}  // namespace harness::test
