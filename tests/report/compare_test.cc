#include "harness/report/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/report/render.h"
#include "tests/report/stored_runs.h"

namespace harness::test {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CompareTest : public ::testing::Test {
 protected:
  std::vector<Table> compare(const CompareOptions& options = {}) {
    return compare_runs(runs_.store(), "A", runs_.store(), "B", options);
  }
  void put_two() {
    runs_.put({.label = "A"}, items_of({1, 1, 1, 1, 0, 0, 1, 0, 1, 1}));
    runs_.put({.label = "B"}, items_of({0, 0, 0, 1, 1, 0, 1, 0, 0, 1}));
  }
  /// The text of a table's first column.
  static std::vector<std::string> keys(const Table& table) {
    std::vector<std::string> result;
    for (const auto& row : table.rows) result.push_back(row.at(0).text);
    return result;
  }
  StoredRuns runs_;
};

TEST_F(CompareTest, ShowsTheDifferenceWithItsIntervalAndTest) {
  put_two();
  const std::vector<Table> tables = compare();
  ASSERT_EQ(tables.size(), 3u);
  EXPECT_EQ(tables[0].caption, "B against A");
  EXPECT_THAT(to_csv(tables[0]), HasSubstr("p/1,acc,0.7,0.4,-0.29999999999999993,"));
  EXPECT_THAT(to_csv(tables[0]), HasSubstr(",0.375,0.375,\"exact McNemar, 10 items\",10,1,4\n"));
  EXPECT_THAT(tables[0].notes,
              Contains("(Holm): adjusted for the metrics of a protocol that are tested: 1 of p/1"));
}

TEST_F(CompareTest, MetricsOfOneProtocolAreOneFamily) {
  std::vector<TestItem> before = items_of(std::vector<double>(8, 1.0));
  std::vector<TestItem> after = items_of({0, 0, 0, 0, 0, 0, 0, 1});
  for (auto* items : {&before, &after})
    for (TestItem& item : *items) item.detail = R"({"task":"t","category":"c"})";
  for (const auto& [label, items] : {std::pair("A", before), std::pair("B", after)})
    runs_.put_eval({.label = label}, {},
                   {StoredRuns::count("t/acc", mean_of(items), 8),
                    StoredRuns::count("t/c/acc", mean_of(items), 8)},
                   items);
  // 7 of 7 lost: 2 / 128, twice.
  EXPECT_THAT(to_csv(compare()[0]), HasSubstr(",0.015625,0.03125,"));
}

TEST_F(CompareTest, ListsItemsThatChanged) {
  put_two();
  const std::vector<Table> tables = compare({.items = 2});
  ASSERT_EQ(tables.size(), 4u);
  EXPECT_EQ(tables[1].caption, "Items that changed");
  EXPECT_EQ(tables[1].rows.size(), 2u);
  EXPECT_THAT(tables[1].notes, Contains("p/1: 5 of 10 items changed"));
}

TEST_F(CompareTest, SaysWhatWouldShowADifference) {
  put_two();
  const std::vector<Table> tables = compare({.items = 0, .detect = 0.1});
  const Table& sizes = tables.at(1);
  EXPECT_EQ(sizes.caption, "To see a difference of 0.1 (power 0.8, two-sided p < 0.05)");
  ASSERT_EQ(sizes.rows.size(), 1u);
  EXPECT_EQ(sizes.rows[0][2].text, "10 items");
  EXPECT_EQ(sizes.rows[0][3].text, std::to_string(mcnemar_sample_size(0.5, 0.1)) + " items");
}

TEST_F(CompareTest, ConfigurationAndProvenanceThatDifferAreListedKeyByKey) {
  runs_.put({.label = "A", .canonical = R"({"format":{"w":4},"label":"A","methods":[],"x":null})"},
            items_of({1, 0}));
  runs_.put({.label = "B",
             .canonical = R"({"format":{"w":3},"label":"B","methods":[{"name":"rtn"}],"x":null})"},
            items_of({1, 0}));
  const std::vector<Table> tables = compare();
  EXPECT_EQ(to_csv(tables[1]), "key,A,B\nformat.w,4,3\nmethods[0].name,–,rtn\n");
  EXPECT_THAT(tables[1].notes, Contains("2 of 3 keys differ"));
  EXPECT_THAT(tables[2].rows, IsEmpty());
  EXPECT_THAT(tables[2].notes, Contains("0 of 2 keys differ"));
}

TEST_F(CompareTest, ALabelOfSeveralSeedsIsComparedSeedBySeed) {
  for (int seed : {0, 1, 2}) {
    runs_.put_value({.label = "A", .seed = seed}, "acc", .5 + .01 * seed);
    runs_.put_value({.label = "B", .seed = seed}, "acc", .6 + .02 * seed);
  }
  const std::string csv = to_csv(compare({.items = 0, .detect = 0.05})[0]);
  EXPECT_THAT(csv, HasSubstr("\"t, 3 seeds\",3,3,0\n"));
}

TEST_F(CompareTest, ProtocolsOfOneOnlyAreNamed) {
  runs_.put_eval({.label = "A"}, {.protocol = "p/1/limit-2"}, {StoredRuns::count("acc", .5, 2)},
                 items_of({1, 0}));
  runs_.put({.label = "B"}, items_of({1, 0, 1}));
  const Table table = compare()[0];
  EXPECT_THAT(table.rows, IsEmpty());
  EXPECT_THAT(table.notes, Contains("Only in A: p/1/limit-2"));
  EXPECT_THAT(table.notes, Contains("Only in B: p/1"));
}

TEST_F(CompareTest, ItemsThatAreNotTheSameAreSaid) {
  runs_.put({.label = "A"}, items_of({1, 0, 1, 0}));
  runs_.put({.label = "B"}, items_of({1, 0, 1}));
  EXPECT_THAT(compare()[0].notes,
              Contains(AllOf(HasSubstr("3 of its 3 items"), HasSubstr("so not paired: acc"))));
}

TEST_F(CompareTest, AnUnknownLabelListsTheOthers) {
  runs_.put({.label = "A"}, items_of({1, 0}));
  EXPECT_THAT(error_of([&] { compare(); }), HasSubstr("holds no run \"B\""));
}

TEST_F(CompareTest, ALabelOfTwoModelsIsNoRow) {
  runs_.put({.label = "A"}, items_of({1, 0}));
  runs_.put({.label = "B"}, items_of({1, 0}));
  runs_.put({.label = "B", .model = "Other"}, items_of({1, 0}));
  EXPECT_THAT(error_of([&] { compare(); }), HasSubstr("\"B\" means rows of several models"));
}

TEST_F(CompareTest, RunsMayBeInTwoDatabases) {
  StoredRuns other;
  runs_.put({.label = "A"}, items_of({1, 0, 0, 0}));
  other.put({.label = "A"}, items_of({1, 1, 1, 0}));
  const Table table = compare_runs(runs_.store(), "A", other.store(), "A", {})[0];
  EXPECT_THAT(to_csv(table), HasSubstr("acc,0.25,0.75,0.5,"));
}

TEST_F(CompareTest, DatabasesAreComparedRowByRow) {
  StoredRuns other;
  for (const char* label : {"A", "B", "here"}) runs_.put({.label = label}, items_of({1, 0, 0, 0}));
  for (const char* label : {"A", "B", "there"})
    other.put({.label = label}, items_of({1, 1, label[0] == 'B' ? 1.0 : 0.0, 0}));
  const Table table = compare_databases(runs_.store(), other.store(), {})[0];
  EXPECT_EQ(keys(table), (std::vector<std::string>{"A", "B"}));
  EXPECT_THAT(to_csv(table),
              AllOf(HasSubstr("A,p/1,acc,0.25,0.5,"), HasSubstr("B,p/1,acc,0.25,0.75,")));
  EXPECT_THAT(table.notes, Contains(HasSubstr(": here")));
  EXPECT_THAT(table.notes, Contains(HasSubstr(": there")));
}

TEST_F(CompareTest, DatabasesWithoutACommonRowAreAnError) {
  StoredRuns other;
  runs_.put({.label = "A"}, items_of({1, 0}));
  other.put({.label = "B"}, items_of({1, 0}));
  EXPECT_THAT(error_of([&] { compare_databases(runs_.store(), other.store(), {}); }),
              HasSubstr("no experiment and label is in both"));
}

TEST(SamplesTest, AreSentences) {
  const std::string items = items_needed(0.05, 0.1, {});
  EXPECT_THAT(items,
              HasSubstr(std::to_string(mcnemar_sample_size(0.1, 0.05)) + " independent items"));
  EXPECT_THAT(items, HasSubstr("a difference of 5 points with a probability of 0.8"));
  EXPECT_THAT(seeds_needed(0.01, 0.01, {}), HasSubstr("10 training seeds"));
}

}  // namespace
}  // namespace harness::test
