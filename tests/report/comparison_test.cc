#include "harness/report/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "tests/report/stored_runs.h"

namespace harness::test {
namespace {

using ::testing::HasSubstr;
using Unit = PairedValues::Unit;

/// The comparison of the first row with the second.
class ComparisonTest : public ::testing::Test {
 protected:
  Comparison compare(const std::string& metric = "acc") {
    const std::vector<StoredRun> runs = runs_.read();
    const std::vector<RowRuns> rows = group_by_seed(runs);
    ItemCache reader(runs_.store());
    return compare_rows(reader, rows.at(0), reader, rows.at(1), {"p/1", metric});
  }
  PairedValues paired(const std::string& metric = "acc") {
    const Comparison found = compare(metric);
    if (!found.paired) throw Error(metric, found.why_not);
    return *found.paired;
  }
  void put_two(const std::vector<TestItem>& before, const std::vector<TestItem>& after) {
    runs_.put({.label = "A"}, before);
    runs_.put({.label = "B"}, after);
  }
  /// Two runs of an eval with these metrics, each the value given for A and for B.
  void put_parts(const std::vector<TestItem>& before, const std::vector<TestItem>& after,
                 const std::vector<MetricRow>& of_before, const std::vector<MetricRow>& of_after) {
    runs_.put_eval({.label = "A"}, {}, of_before, before);
    runs_.put_eval({.label = "B"}, {}, of_after, after);
  }
  StoredRuns runs_;
};

TEST_F(ComparisonTest, IndependentItemsThatAreZeroOrOneAreCounted) {
  put_two(items_of({1, 1, 1, 1, 0, 0, 1, 0, 1, 1}), items_of({0, 0, 0, 1, 1, 0, 1, 0, 0, 1}));
  const PairedValues found = paired();
  EXPECT_EQ(found.higher(), 1);
  EXPECT_EQ(found.lower(), 4);
  EXPECT_DOUBLE_EQ(found.difference(), -0.3);
  EXPECT_EQ(found.p(), mcnemar_test(1, 4));
  EXPECT_EQ(found.interval().low, counts_interval(1, 4, 10).low);
  EXPECT_EQ(found.interval().high, counts_interval(1, 4, 10).high);
  EXPECT_EQ(found.test(), "exact McNemar, 10 items");
}

TEST_F(ComparisonTest, ItemsThatDependOnEachOtherAreFlippedAndResampledByCluster) {
  std::vector<TestItem> before, after;
  for (const char* cluster : {"a", "b", "c"})
    for (int i = 0; i < 4; ++i) {
      before.push_back({.score = 1, .cluster = cluster});
      after.push_back({.score = i < 2 ? 0.0 : 1.0, .cluster = cluster});
    }
  put_two(before, after);
  const PairedValues found = paired();
  EXPECT_EQ(found.test(), "sign flips, 3 clusters");
  EXPECT_EQ(found.p(), 2.0 / 8);  // McNemar's of 6 items would be .03
  EXPECT_EQ(found.interval().low, -0.5);
}

TEST_F(ComparisonTest, ItemsThatAreNoDecisionsAreFlipped) {
  put_two(items_of({.1, .2, .3, .4}), items_of({.2, .3, .5, .6}));
  const PairedValues found = paired();
  EXPECT_EQ(found.test(), "sign flips, 4 items");
  EXPECT_EQ(found.p(), 2.0 / 16);
}

TEST_F(ComparisonTest, NothingThatChangesIsNoEvidence) {
  put_two(items_of({1, 0, 1}), items_of({1, 0, 1}));
  EXPECT_EQ(paired().p(), 1);
  EXPECT_EQ(paired().interval().high, counts_interval(0, 0, 3).high);
}

TEST_F(ComparisonTest, OneClusterTellsNothing) {
  put_two({{.score = 1, .cluster = "a"}, {.score = 1, .cluster = "a"}},
          {{.score = 0, .cluster = "a"}, {.score = 0, .cluster = "a"}});
  EXPECT_TRUE(std::isnan(paired().p()));
  EXPECT_TRUE(std::isnan(paired().interval().low));
  EXPECT_DOUBLE_EQ(paired().difference(), -1);
}

TEST_F(ComparisonTest, WindowsOfATextAreTestedInBlocksOfNeighbours) {
  // 27 windows, 9 blocks of 3; within a block they move together, and their ids are in no order.
  std::vector<TestItem> before, after;
  double sum = 0, other = 0;
  for (int i = 0; i < 27; ++i) {
    const std::string id = std::to_string((i * 10) % 27 + 100);
    before.push_back({.score = 2 + 0.01 * i, .id = id});
    after.push_back({.score = before.back().score + (i / 3 == 4 ? -0.1 : 0.2), .id = id});
    sum += before.back().score;
    other += after.back().score;
  }
  const StoredRuns::Eval eval{.name = "perplexity"};
  for (const auto& [label, items, nll] :
       {std::tuple("A", before, sum / 27), std::tuple("B", after, other / 27)})
    runs_.put_eval({.label = label}, eval,
                   {StoredRuns::count("perplexity", std::exp(nll), 27),
                    StoredRuns::count("nll", nll, 27), StoredRuns::count("tokens", 700, 27)},
                   items);
  const PairedValues found = paired("perplexity");
  EXPECT_TRUE(found.exponential);
  EXPECT_EQ(found.test(), "sign flips, 9 blocks of windows");
  // Of 512 patterns: eight blocks of .6 and one of -.3 sum to 4.5; as extreme are all alike (5.1),
  // the one as it is, and the other way round.
  EXPECT_EQ(found.p(), 4.0 / 512);
  EXPECT_NEAR(found.value / found.reference, std::exp((other - sum) / 27), 1e-12);
  EXPECT_LT(found.interval().low, found.value / found.reference);
  EXPECT_GT(found.interval().low, std::exp(-0.1));
  EXPECT_LE(found.interval().high, std::exp(0.2) + 1e-12);
  EXPECT_EQ(paired("nll").p(), found.p());
  EXPECT_EQ(compare("tokens").why_not, "no mean over stored items");
}

TEST_F(ComparisonTest, EachMetricOfAnEvalHasItsOwnItems) {
  auto item = [](double score, const std::string& measured, double odds) {
    return TestItem{
        .score = score,
        .detail = R"({"measured":")" + measured + R"(","log_odds":)" + std::to_string(odds) + "}"};
  };
  using R = StoredRuns;
  put_parts({item(1, "control", 2), item(0, "control", -1), item(0, "control_elsewhere", -3)},
            {item(1, "control", 4), item(1, "control", 1), item(1, "control_elsewhere", -2)},
            {R::count("control", .5, 2), R::count("control_elsewhere", 0, 1),
             R::count("control_log_odds", .5, 2)},
            {R::count("control", 1, 2), R::count("control_elsewhere", 1, 1),
             R::count("control_log_odds", 2.5, 2)});
  EXPECT_EQ(paired("control").before, (std::vector<double>{1, 0}));
  EXPECT_EQ(paired("control").after, (std::vector<double>{1, 1}));
  EXPECT_EQ(paired("control_log_odds").after, (std::vector<double>{4, 1}));
  EXPECT_EQ(paired("control_elsewhere").units(), 1);
  EXPECT_TRUE(std::isnan(paired("control_elsewhere").p()));  // of one item
  EXPECT_TRUE(std::isnan(paired("control_elsewhere").interval().low));
}

TEST_F(ComparisonTest, HarmfulAndBenignActionsAreApart) {
  auto item = [](double score, bool harmful) {
    return TestItem{.score = score,
                    .detail = harmful ? R"({"harmful":true})" : R"({"harmful":false})"};
  };
  using R = StoredRuns;
  put_parts({item(1, true), item(0, true), item(1, false)},
            {item(0, true), item(0, true), item(1, false)},
            {R::count("ok_h", .5, 2), R::count("ok_b", 1, 1), R::count("ok_auc", .75, 3)},
            {R::count("ok_h", 0, 2), R::count("ok_b", 1, 1), R::count("ok_auc", .5, 3)});
  EXPECT_EQ(paired("ok_h").before, (std::vector<double>{1, 0}));
  EXPECT_EQ(paired("ok_b").before, (std::vector<double>{1}));
  EXPECT_EQ(compare("ok_auc").why_not, "no mean over stored items");  // no such area
}

/// Areas and standard errors are those of DeLong's formulas: tests/golden/statistics/areas.py.
class AreasTest : public ComparisonTest, public ::testing::WithParamInterface<int> {};

TEST_P(AreasTest, AreComparedItemByItem) {
  const auto golden =
      nlohmann::json::parse(read_file(test::golden("statistics/areas.json")))["cases"][GetParam()];
  auto items = [](const std::vector<std::vector<double>>& sides) {  // harmful, benign
    std::vector<TestItem> result;
    for (const bool harmful : {true, false})
      for (const double score : sides[harmful ? 0 : 1])
        result.push_back({.score = score, .detail = fmt::format(R"({{"harmful":{}}})", harmful)});
    return result;
  };
  const std::vector<TestItem> before = items(golden["before"]), after = items(golden["after"]);
  const auto areas = golden["areas"].get<std::vector<double>>();
  const auto count = static_cast<std::int64_t>(before.size());
  put_parts(before, after, {StoredRuns::count("refusal_auc", areas[0], count)},
            {StoredRuns::count("refusal_auc", areas[1], count)});
  const PairedValues found = paired("refusal_auc");
  EXPECT_NEAR(found.difference(), areas[1] - areas[0], 1e-12);
  EXPECT_NEAR(mean(found.differences()), areas[1] - areas[0], 1e-12);
  // Its factors are n / (n - 1) of each side, these N / (N - 1) of both.
  const double error = golden["standard_error"];
  EXPECT_NEAR(found.standard_error(), error, 0.01 * error);
  EXPECT_EQ(found.test(), fmt::format("sign flips, {} items", count));
  EXPECT_NEAR(found.interval().low, found.difference() - 1.96 * error, 0.15 * error);
  EXPECT_NEAR(found.interval().high, found.difference() + 1.96 * error, 0.15 * error);
  const double z = found.difference() / error;
  EXPECT_NEAR(found.p(), std::erfc(std::abs(z) / std::sqrt(2)), 0.01);
}

INSTANTIATE_TEST_SUITE_P(Golden, AreasTest, ::testing::Range(0, 3));

TEST_F(ComparisonTest, AnAreaWithAValueThatIsNotFiniteIsNotCompared) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<TestItem> items = {{.score = infinity, .detail = R"({"harmful":true})"},
                                       {.score = 0, .detail = R"({"harmful":false})"}};
  put_parts(items, items, {StoredRuns::count("refusal_auc", 1, 2)},
            {StoredRuns::count("refusal_auc", 1, 2)});
  EXPECT_EQ(compare("refusal_auc").why_not, "no mean over stored items");
}

TEST_F(ComparisonTest, TasksCategoriesAndAveragesAreMeansOfTheirItems) {
  auto item = [](double score, const std::string& task, const std::string& category) {
    return TestItem{.score = score,
                    .detail = R"({"task":")" + task + R"(","category":")" + category +
                              R"(","groups":["nine"],"category_groups":["stem"]})"};
  };
  const std::vector<TestItem> before = {item(1, "x", "c"), item(1, "x", "c"), item(0, "x", "d"),
                                        item(0, "y", "")};
  std::vector<TestItem> after = before;
  after[0].score = 0;
  after[3].score = 1;
  using R = StoredRuns;
  put_parts(
      before, after,
      {R::count("x/acc_norm", 2. / 3, 3), R::count("x/c/acc_norm", 1, 2),
       R::count("x/stem/acc_norm", 2. / 3, 3), R::count("average", 1. / 3, 4),
       R::count("nine/average", 1. / 3, 4), R::count("x/macro", .5, 3), R::count("x/acc", .25, 3)},
      {R::count("x/acc_norm", 1. / 3, 3), R::count("x/c/acc_norm", .5, 2),
       R::count("x/stem/acc_norm", 1. / 3, 3), R::count("average", 2. / 3, 4),
       R::count("nine/average", 2. / 3, 4), R::count("x/macro", .25, 3),
       R::count("x/acc", .25, 3)});
  EXPECT_EQ(paired("x/acc_norm").units(), 3);
  EXPECT_EQ(paired("x/c/acc_norm").units(), 2);
  EXPECT_EQ(paired("x/stem/acc_norm").units(), 3);
  // Each task counts once: an item of x weighs 4 / (2 * 3), that of y 4 / (2 * 1).
  EXPECT_EQ(paired("average").after, (std::vector<double>{0, 2. / 3, 0, 2}));
  EXPECT_EQ(paired("nine/average").units(), 4);
  EXPECT_EQ(paired("x/macro").units(), 3);
  // The items' scores are acc_norm's.
  EXPECT_EQ(compare("x/acc").why_not, "no mean over stored items");
}

TEST_F(ComparisonTest, OtherItemsAreNotCompared) {
  put_two(items_of({1, 0, 1, 1}), items_of({1, 0, 1}));
  EXPECT_THAT(compare().why_not, HasSubstr("3 of its 3 items are among the reference's 4"));
}

TEST_F(ComparisonTest, ItemsOfOtherIdsAreNotCompared) {
  put_two({{.score = 1, .id = "x"}, {.score = 0, .id = "y"}},
          {{.score = 1, .id = "x"}, {.score = 0, .id = "z"}});
  EXPECT_THAT(compare().why_not, HasSubstr("1 of its 2 items are among the reference's 2"));
}

TEST_F(ComparisonTest, AnItemThatRepeatsIsPairedInItsOrder) {
  put_two({{.score = 1, .id = "x"}, {.score = 0, .id = "x"}},
          {{.score = 1, .id = "x"}, {.score = 1, .id = "x"}});
  EXPECT_EQ(paired().higher(), 1);
  EXPECT_EQ(paired().units(), 2);
}

TEST_F(ComparisonTest, AnItemThatIsNotFiniteLeavesTheDifferenceUnknown) {
  put_two(items_of({1, 0, 1}), items_of({1, std::nan(""), 0}));
  const PairedValues found = paired();
  EXPECT_TRUE(std::isnan(found.difference()));
  EXPECT_TRUE(std::isnan(found.p()));
  EXPECT_TRUE(std::isnan(found.interval().low));
  EXPECT_TRUE(std::isnan(found.standard_error()));
}

TEST_F(ComparisonTest, AnInfinitePerplexityHasNoTest) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const auto& [label, nll] : {std::pair("A", 3.0), std::pair("B", infinity)})
    runs_.put_eval({.label = label}, {.name = "perplexity"},
                   {StoredRuns::count("perplexity", std::exp(nll), 2)}, items_of({3.0, nll}));
  const PairedValues found = paired("perplexity");
  EXPECT_EQ(found.value, infinity);
  EXPECT_TRUE(std::isnan(found.p()));
}

TEST_F(ComparisonTest, ItemsThatNoScorerCouldTellOfAreLeftOut) {
  const double untold = std::nan("");
  auto items = [](const std::vector<double>& scores) {
    std::vector<TestItem> result = items_of(scores);
    for (TestItem& item : result) item.detail = R"({"measured":"attack_success"})";
    return result;
  };
  put_parts(items({1, 0, untold, 1}), items({1, 1, 0, untold}),
            {StoredRuns::count("attack_success", 2. / 3, 3)},
            {StoredRuns::count("attack_success", 2. / 3, 3)});
  const PairedValues found = paired("attack_success");
  EXPECT_EQ(found.units(), 2);
  EXPECT_EQ(found.left_out, 1);
  EXPECT_DOUBLE_EQ(found.difference(), 0.5);  // of those that both were judged on
}

TEST_F(ComparisonTest, WhatWasNotMeasuredOfBothIsSaid) {
  runs_.put({.label = "A"}, items_of({1, 0}));
  runs_.put_value({.label = "B"}, "other", 1);
  EXPECT_EQ(compare().why_not, "not measured of both");
}

class SeedsTest : public ComparisonTest {
 protected:
  void put_seed(const std::string& label, int training, int calibration, double value) {
    runs_.put_value({.label = label,
                     .model = "pair:world/aligned@" + std::to_string(training),
                     .seed = calibration},
                    "acc", value);
  }
};

TEST_F(SeedsTest, TrainingSeedsAreTheUnitAndCalibrationSeedsAreAveragedInside) {
  const std::vector<double> before = {.5, .6, .7}, change = {.1, .12, .05};
  for (int training = 0; training < 3; ++training)
    for (int calibration : {0, 1}) {
      put_seed("A", training, calibration, before[training] + .01 * calibration);
      put_seed("B", training, calibration, before[training] + change[training]);
    }
  const PairedValues found = paired();
  EXPECT_EQ(found.test(), "t, 3 training seeds");
  ASSERT_EQ(found.differences().size(), 3u);
  EXPECT_NEAR(found.differences()[1], .12 - .005, 1e-12);
  EXPECT_EQ(found.p(), t_test(found.differences()).p);
  EXPECT_EQ(found.interval().high, t_test(found.differences()).interval.high);
  EXPECT_NEAR(found.standard_error(), standard_error_of_mean(found.differences()), 1e-15);
}

TEST_F(SeedsTest, OfOneTrainingCalibrationSeedsAreTheUnit) {
  for (int calibration : {0, 1, 2}) {
    put_seed("A", 0, calibration, .5);
    put_seed("B", 0, calibration, .6 + .01 * calibration);
  }
  EXPECT_EQ(paired().test(), "t, 3 seeds");
}

TEST_F(SeedsTest, OnlySeedsThatBothHaveAreCompared) {
  for (int training : {0, 1, 2}) put_seed("A", training, 0, .5 + .1 * training);
  for (int training : {1, 2, 3}) put_seed("B", training, 0, .5 + .2 * training);
  const PairedValues found = paired();
  EXPECT_EQ(found.units(), 2);
  EXPECT_NEAR(found.reference, .65, 1e-12);
  EXPECT_NEAR(found.value, .8, 1e-12);
}

TEST_F(SeedsTest, NoSeedInCommonIsSaid) {
  for (int training : {0, 1}) put_seed("A", training, 0, .5);
  for (int training : {2, 3}) put_seed("B", training, 0, .5);
  EXPECT_EQ(compare().why_not, "no seed in common");
}

class ChangedItemsTest : public ComparisonTest {};

TEST_F(ChangedItemsTest, TheLargestChangeComesFirst) {
  put_two(items_of({.1, .2, .3, .4}),
          {{.score = .1}, {.score = .9}, {.score = std::nan("")}, {.score = .5}});
  const std::vector<StoredRun> runs = runs_.read();
  ItemCache reader(runs_.store());
  const MetricName name{"p/1", "acc"};
  const std::vector<ChangedItem> changed =
      changed_items(reader.items(runs[0].metrics.at(name).attempt),
                    reader.items(runs[1].metrics.at(name).attempt));
  ASSERT_EQ(changed.size(), 3u);
  EXPECT_EQ(changed[0].id, "2");  // no number any more
  EXPECT_EQ(changed[1].id, "1");
  EXPECT_EQ(changed[1].after, .9);
  EXPECT_EQ(changed[2].id, "3");
}

}  // namespace
}  // namespace harness::test
