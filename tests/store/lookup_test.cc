#include "harness/store/lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/store/example_store.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class LookupTest : public ::testing::Test {
 protected:
  ExperimentRow put_experiment(const std::string& name, const std::string& variant = "") {
    const ExperimentRow row = example_experiment(name, variant);
    store_->put_experiment(row);
    return row;
  }
  RunRow put_run(const ExperimentRow& experiment, const std::string& label, int position,
                 std::int64_t seed = 0) {
    const RunRow row = example_run(experiment, label, position, seed);
    store_->put_run(row);
    return row;
  }
  TemporaryFolder folder_;
  std::unique_ptr<ResultStore> store_ = ResultStore::open(folder_ / "results.sqlite");
};

TEST_F(LookupTest, AnExperimentIsFoundByNameAndByTheBeginningOfItsKey) {
  const ExperimentRow row = put_experiment("quickstart");
  EXPECT_EQ(find_experiment(*store_, "quickstart").key, row.key);
  EXPECT_EQ(find_experiment(*store_, row.key.substr(0, 6)).name, "quickstart");
  EXPECT_EQ(find_experiment(*store_, row.key).key, row.key);
}

TEST_F(LookupTest, ANameMeansTheVersionUsedLast) {
  const ExperimentRow older = put_experiment("quickstart");
  const ExperimentRow newer = put_experiment("quickstart", " limit=2");
  EXPECT_EQ(find_experiment(*store_, "quickstart").key, newer.key);
  put_experiment("quickstart");
  EXPECT_EQ(find_experiment(*store_, "quickstart").key, older.key);
}

TEST_F(LookupTest, AnUnknownExperimentListsThoseThereAre) {
  put_experiment("quickstart");
  put_experiment("llama");
  EXPECT_THAT(
      error_of([&] { find_experiment(*store_, "quickstrt"); }),
      AllOf(HasSubstr("results.sqlite"), HasSubstr("holds no experiment \"quickstrt\""),
            HasSubstr("one of llama, quickstart"), HasSubstr("did you mean \"quickstart\"?")));
}

TEST_F(LookupTest, AnEmptyStoreSaysSo) {
  EXPECT_THAT(error_of([&] { find_experiment(*store_, "quickstart"); }),
              AllOf(HasSubstr("holds no experiment at all"), HasSubstr("harness run")));
  EXPECT_THAT(error_of([&] { find_run(*store_, "RTN"); }), HasSubstr("holds no run at all"));
}

TEST_F(LookupTest, ARunIsFoundByLabelAndByTheBeginningOfItsKey) {
  const RunRow run = put_run(put_experiment("quickstart"), "RTN W4A16", 0);
  EXPECT_EQ(find_run(*store_, "RTN W4A16").key, run.key);
  EXPECT_EQ(find_run(*store_, run.key.substr(0, 8)).label, "RTN W4A16");
}

TEST_F(LookupTest, ALabelOfTwoExperimentsNeedsTheExperimentsName) {
  const RunRow first = put_run(put_experiment("one"), "RTN", 0);
  const RunRow second = put_run(put_experiment("two"), "RTN", 0);
  EXPECT_THAT(
      error_of([&] { find_run(*store_, "RTN"); }),
      AllOf(HasSubstr("\"RTN\" means 2 runs"), HasSubstr(first.key.substr(0, 12)),
            HasSubstr("one/RTN"), HasSubstr(second.key.substr(0, 12)), HasSubstr("two/RTN")));
  EXPECT_EQ(find_run(*store_, "one/RTN").key, first.key);
}

TEST_F(LookupTest, ALabelOfSeveralSeedsListsThem) {
  const ExperimentRow experiment = put_experiment("seeds");
  put_run(experiment, "RTN", 0, 0);
  put_run(experiment, "RTN", 1, 1);
  EXPECT_THAT(error_of([&] { find_run(*store_, "RTN"); }),
              AllOf(HasSubstr("seed 0"), HasSubstr("seed 1"), HasSubstr("key")));
}

TEST_F(LookupTest, AllSeedsOfALabelAreFoundTogether) {
  const ExperimentRow experiment = put_experiment("seeds");
  const RunRow first = put_run(experiment, "RTN", 0, 0), second = put_run(experiment, "RTN", 1, 1);
  put_run(experiment, "GPTQ", 2);
  const std::vector<RunName> runs = find_runs(*store_, "seeds/RTN");
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].key, first.key);
  EXPECT_EQ(runs[1].key, second.key);
  EXPECT_EQ(find_runs(*store_, second.key.substr(0, 12)).size(), 1u);
  put_run(put_experiment("other"), "RTN", 0);
  EXPECT_THAT(error_of([&] { find_runs(*store_, "RTN"); }), HasSubstr("means 3 runs"));
}

TEST_F(LookupTest, ALabelMeansTheExperimentVersionUsedLastAndTheKeyAnyOther) {
  const RunRow older = put_run(put_experiment("quickstart"), "RTN", 0);
  const RunRow newer = put_run(put_experiment("quickstart", " limit=2"), "RTN", 0);
  EXPECT_EQ(find_run(*store_, "RTN").key, newer.key);
  EXPECT_EQ(find_run(*store_, older.key).key, older.key);
}

TEST_F(LookupTest, AnUnknownRunListsTheLabels) {
  const ExperimentRow experiment = put_experiment("quickstart");
  put_run(experiment, "FP16", 0);
  put_run(experiment, "RTN W4A16", 1);
  EXPECT_THAT(error_of([&] { find_run(*store_, "RTN W4A6"); }),
              AllOf(HasSubstr("one of FP16, RTN W4A16"), HasSubstr("did you mean \"RTN W4A16\"?")));
}

}  // namespace
}  // namespace harness::test
