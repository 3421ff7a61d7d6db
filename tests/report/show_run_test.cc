#include "harness/report/show_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "tests/store/example_store.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ShowRunTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  std::unique_ptr<ResultStore> store_ = ResultStore::open(folder_ / "results.sqlite");
  OneRun one_{*store_};
};

TEST_F(ShowRunTest, ARunIsShownWithAllItDependsOn) {
  const StageRow load = example_stage("load of it", "load");
  store_->put_stage(load);
  store_->link(one_.run.key, load.key, -1);
  AttemptOutcome outcome;
  outcome.wall_seconds = 75;
  outcome.peak_memory_bytes = 1'200'000;
  store_result(*store_, one_.run, one_.stage, {}, {}, failed("no memory\nat all"));
  store_result(*store_, one_.run, one_.stage, {{"perplexity", 1.0 / 3, 0.25, 12}},
               {{"w0", 0, 1, "", ""}}, outcome);
  const std::string shown = show_run(*store_, "RTN");
  EXPECT_THAT(shown, AllOf(HasSubstr("RTN\n  key      " + one_.run.key),
                           HasSubstr("row 1 of first (" + one_.experiment.key + ") as \"RTN\""),
                           HasSubstr(one_.run.canonical), HasSubstr("# first")));
  EXPECT_THAT(shown, AllOf(HasSubstr("1. load safetensors"), HasSubstr(load.key),
                           HasSubstr("not started"), HasSubstr("2. eval perplexity"),
                           HasSubstr("protocol wikitext2-test/concat-2048/1")));
  EXPECT_THAT(shown, AllOf(HasSubstr("attempt 1 of 2: failed\n      no memory\n      at all\n"),
                           HasSubstr("attempt 2 of 2: succeeded"),
                           HasSubstr("wall 1:15, CPU 0:00, peak memory 1.2 MB"),
                           HasSubstr("perplexity = 0.3333333333333333 ± 0.25  (12 items)"),
                           HasSubstr("items stored: 1"), HasSubstr("harness.commit: abc")));
}

TEST_F(ShowRunTest, ARunningAttemptNamesItsProcess) {
  store_->begin_attempt(one_.run.key, one_.stage.key, {});
  EXPECT_THAT(show_run(*store_, "RTN"),
              HasSubstr("attempt 1 of 1: running as process " + std::to_string(getpid())));
}

TEST_F(ShowRunTest, ANumberThatIsNotFiniteIsSaid) {
  store_result(*store_, one_.run, one_.stage, {{"perplexity", std::nan(""), {}, 12}});
  EXPECT_THAT(show_run(*store_, "RTN"), HasSubstr("perplexity = nan"));
}

TEST_F(ShowRunTest, TheBeginningOfAKeyIsEnough) {
  EXPECT_THAT(show_run(*store_, one_.run.key.substr(0, 8)), HasSubstr(one_.run.key));
}

TEST_F(ShowRunTest, AnAmbiguousNameListsTheCandidates) {
  OneRun other(*store_, "second");
  EXPECT_THAT(error_of([&] { show_run(*store_, "RTN"); }),
              AllOf(HasSubstr("means 2 runs"), HasSubstr("first/RTN"), HasSubstr("second/RTN")));
}

TEST_F(ShowRunTest, AnUnknownNameListsTheLabels) {
  EXPECT_THAT(error_of([&] { show_run(*store_, "GPTQ"); }), HasSubstr("one of RTN"));
}

}  // namespace
}  // namespace harness::test
