#include "harness/run/forecast.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "harness/run/memory_needs.h"
#include "harness/run/runner.h"
#include "tests/run/fixture.h"

namespace harness {
namespace {

class ForecastTest : public testing::Test {
 protected:
  void SetUp() override { test::write_file(text_, test::some_text()); }
  Plan plan(const std::string& runs) {
    return make_plan(test::tiny_experiment(text_.string(), runs), test::all_plugins());
  }
  test::TemporaryFolder folder_;
  test::ScopedVariable cache_{"HARNESS_CACHE", (folder_ / "cache").string()};
  std::filesystem::path text_ = folder_ / "text.txt";
};

const char* const kSwept =
    "format='w4a16'\nmethods=['rtn']\n[[run]]\nlabel='none'\nformat='none'\nmethods=[]\n"
    "[[run]]\nlabel='RTN'\n[sweep]\n'format.w.group'=[8, 16]\n";

TEST_F(ForecastTest, WithoutADatabaseStagesAreCountedAndUntimed) {
  const Plan three = plan(kSwept);
  const Forecast all = forecast(three, nullptr);
  // A load for all, and of each run its eval; a method of the two.
  ASSERT_EQ(all.runs.size(), 3u);
  EXPECT_EQ(all.stages, 1 + 3 + 2);
  EXPECT_EQ(all.shared, 1);
  EXPECT_EQ(all.stored, 0);
  EXPECT_EQ(all.runs[0].stages, 2);
  EXPECT_EQ(all.runs[1].stages, 3);
  EXPECT_EQ(all.runs[1].untimed, 3);
  EXPECT_FALSE(all.runs[0].complete);
  EXPECT_FALSE(all.runs[0].bytes_measured);
  EXPECT_EQ(all.runs[0].bytes,
            std::max(perplexity_bytes(three.runs[0].model->config, 128, at::kFloat),
                     generation_bytes(three.runs[0].model->config, 128, at::kFloat)));
}

TEST_F(ForecastTest, WhatIsStoredTakesNoTimeAndTellsWhatTheRestWillTake) {
  const auto store = ResultStore::open(folder_ / "a.sqlite");
  run_plan(plan("[[run]]\nlabel='none'\n[[run]]\nlabel='RTN'\nformat='w4a16g8'\nmethods=['rtn']\n"),
           *store, no_progress());
  const Forecast all = forecast(plan(kSwept), store.get());
  ASSERT_EQ(all.runs.size(), 3u);
  EXPECT_TRUE(all.runs[0].complete);
  EXPECT_EQ(all.runs[0].seconds, 0);
  EXPECT_TRUE(all.runs[1].complete);
  const RunForecast& left = all.runs[2];  // groups of 16
  EXPECT_FALSE(left.complete);
  EXPECT_EQ(left.stored, 1);  // its load
  EXPECT_EQ(left.untimed, 0);
  // A load, the method and the eval as they were: the longest load, and medians of the others.
  const auto expected =
      store
          ->query(
              "SELECT (SELECT max(wall_seconds) FROM attempts a JOIN stages s ON s.key = "
              "stage_key WHERE kind = 'load') + (SELECT max(wall_seconds) FROM attempts a JOIN "
              "stages s ON s.key = stage_key WHERE kind = 'method') + (SELECT "
              "max(wall_seconds) FROM attempts a JOIN stages s ON s.key = stage_key "
              "WHERE kind = 'eval')")
          .rows[0][0];
  EXPECT_NEAR(left.seconds, std::stod(*expected), 1e-9);
  EXPECT_TRUE(left.bytes_measured);
  EXPECT_GT(left.bytes, 10'000'000);
}

TEST_F(ForecastTest, AnotherModelsTimesAreTakenByTheWeights) {
  const auto store = ResultStore::open(folder_ / "a.sqlite");
  const std::string small = (folder_ / "small").string(), large = (folder_ / "large").string();
  test::write_random_model(small, test::random_config(), 0);
  LlamaConfig wide = test::random_config();
  wide.intermediate_size *= 40;
  test::write_random_model(large, wide, 0);
  run_plan(plan("[[run]]\nlabel='a'\nmodel='" + small + "'\n"), *store, no_progress());
  const Plan other = plan("[[run]]\nlabel='a'\nmodel='" + large + "'\n");
  const RunForecast run = forecast(other, store.get()).runs.at(0);
  const double took = std::stod(*store->query("SELECT sum(wall_seconds) FROM attempts").rows[0][0]);
  const double ratio = static_cast<double>(parameter_count(wide)) /
                       static_cast<double>(parameter_count(test::random_config()));
  EXPECT_GT(ratio, 5);
  EXPECT_NEAR(run.seconds, ratio * took, 1e-9 * ratio);
  EXPECT_FALSE(run.bytes_measured);
}

TEST_F(ForecastTest, ASweepOfAThousandRunsIsForecast) {
  std::string seeds, groups = "2, 4, 8, 16";
  for (int i = 0; i < 250; ++i) seeds += fmt::format("{}{}", i > 0 ? ", " : "", i);
  const Plan many = plan("format='w4a16'\nmethods=['rtn']\n[[run]]\nlabel='RTN'\n[sweep]\nseed=[" +
                         seeds + "]\n'format.w.group'=[" + groups + "]\n");
  EXPECT_EQ(many.runs.size(), 1000u);
  const Forecast all = forecast(many, nullptr);
  // Neither the method nor the eval draws anything: the seeds share them.
  EXPECT_EQ(all.stages, 1 + 4 + 4);
  EXPECT_EQ(all.shared, 9);
  // Each stage is done for the first run that needs it.
  int untimed = 0;
  for (const RunForecast& run : all.runs) untimed += run.untimed > 2;
  EXPECT_EQ(untimed, 4);
}

}  // namespace
}  // namespace harness
