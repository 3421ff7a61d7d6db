#include "harness/report/main_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <limits>

#include "harness/report/render.h"
#include "tests/report/stored_runs.h"

namespace harness::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class MainTableTest : public ::testing::Test {
 protected:
  MainTableTest() { store_->put_experiment(experiment_); }

  RunRow put_run(const std::string& label, int position, std::int64_t seed = 0) {
    const RunRow run = example_run(experiment_, label, position, seed);
    store_->put_run(run);
    return run;
  }
  StageRow put_stage(const RunRow& run, const std::string& protocol = "p/1", int position = 0) {
    StageRow stage = example_stage(run.canonical + protocol);
    stage.protocol = protocol;
    store_->put_stage(stage);
    store_->link(run.key, stage.key, position);
    return stage;
  }
  RunRow put_result(const std::string& label, int position, double perplexity,
                    std::int64_t seed = 0) {
    const RunRow run = put_run(label, position, seed);
    store_result(*store_, run, put_stage(run), {{"perplexity", perplexity, 0.42, 12}});
    return run;
  }
  Table table() { return main_table(*store_, "quickstart"); }
  static std::string text(const Table& table, std::size_t row, const std::string& title) {
    return cell(table, row, title).text;
  }

  TemporaryFolder folder_;
  std::unique_ptr<ResultStore> store_ = ResultStore::open(folder_ / "results.sqlite");
  ExperimentRow experiment_ = example_experiment("quickstart");
};

TEST_F(MainTableTest, OneRowARunInTheOrderOfTheFile) {
  put_result("second", 1, 30);
  put_result("first", 0, 23.1134);
  EXPECT_EQ(to_text(table()),
            "quickstart\n"
            "run     format  methods    perplexity\n"
            "──────  ──────  ───────  ────────────\n"
            "first   w4a16   rtn      23.11 ± 0.42\n"
            "second  w4a16   rtn      30.00 ± 0.42\n"
            "Model: SmolLM2\n"
            "Weights as stored: bf16\n"
            "Protocol: p/1\n"
            "Items: perplexity 12\n"
            "±: standard error over items\n");
}

TEST_F(MainTableTest, CsvHasEveryDigitTheProtocolAndTheKey) {
  const RunRow run = put_result("first", 0, 1.0 / 3);
  EXPECT_EQ(to_csv(table()),
            "run,model,weights,format,methods,seed,protocol,perplexity,perplexity standard error,"
            "perplexity items,status,status message,key\n"
            "first,SmolLM2,bf16,w4a16,rtn,0,p/1,0.3333333333333333,0.42,12,succeeded,," +
                run.key + "\n");
}

TEST_F(MainTableTest, AFailedRunIsARowWithItsMessage) {
  put_result("good", 0, 20);
  const RunRow run = put_run("bad", 1);
  store_result(*store_, run, put_stage(run), {}, {}, failed("the model has no layer 3"));
  const Table made = table();
  EXPECT_EQ(text(made, 1, "perplexity"), "–");
  EXPECT_EQ(text(made, 1, "status"), "perplexity failed: the model has no layer 3");
  EXPECT_EQ(text(made, 0, "status"), "succeeded");
  EXPECT_THAT(to_text(made), HasSubstr("the model has no layer 3"));
  EXPECT_THAT(to_csv(made), HasSubstr("failed,the model has no layer 3,"));
}

TEST_F(MainTableTest, AFailedLoadIsSaidAndNotTheEvalsThatWaitForIt) {
  const RunRow run = put_run("bad", 0);
  const StageRow load = example_stage("load", "load");
  store_->put_stage(load);
  store_->link(run.key, load.key, 0);
  put_stage(run, "p/1", 1);
  store_result(*store_, run, load, {}, {}, failed("truncated"));
  EXPECT_EQ(text(table(), 0, "status"), "load failed: truncated");
}

TEST_F(MainTableTest, ALoadThatSucceededIsNoRowOfItsOwn) {
  const RunRow run = put_result("good", 0, 20);
  const StageRow load = example_stage("load", "load");
  store_->put_stage(load);
  store_->link(run.key, load.key, 5);
  store_result(*store_, run, load, {});
  EXPECT_EQ(table().rows.size(), 1u);
  EXPECT_EQ(text(table(), 0, "status"), "succeeded");
}

TEST_F(MainTableTest, WhatHasNotBegunOrEndedSaysSo) {
  put_stage(put_run("waiting", 0));
  const RunRow half = put_run("half", 1);
  store_result(*store_, half, put_stage(half, "p/1", 0), {{"perplexity", 20, {}, 1}});
  put_stage(half, "q/1", 1);
  const RunRow running = put_run("running", 2);
  store_->begin_attempt(running.key, put_stage(running).key, {});
  const RunRow stopped = put_run("stopped", 3);
  AttemptOutcome outcome;
  outcome.status = AttemptStatus::interrupted;
  store_result(*store_, stopped, put_stage(stopped), {}, {}, outcome);
  const Table made = table();
  EXPECT_EQ(text(made, 0, "status"), "not started");
  EXPECT_EQ(text(made, 1, "status"), "not finished");
  EXPECT_EQ(text(made, 1, "perplexity"), "20");
  EXPECT_EQ(text(made, 2, "status"), "perplexity running");
  EXPECT_EQ(text(made, 3, "status"), "perplexity interrupted");
}

TEST_F(MainTableTest, CalibrationOnWhatIsMeasuredIsANote) {
  for (const char* text : {"other.txt", "measured.txt"}) {
    const RunRow run = put_run(text, *text == 'm');
    const StageRow stage = put_stage(run);
    const std::int64_t attempt = store_->begin_attempt(
        run.key, stage.key,
        {{"data.measured.txt", "a/measured.txt sha256:measured.txt"},
         {std::string("data.calibration.") + text, std::string("b/elsewhere sha256:") + text}});
    store_->finish_attempt(attempt, {}, {{"perplexity", 20, {}, 1}}, {});
  }
  const Table made = table();
  EXPECT_THAT(made.notes, Contains("measured.txt was calibrated on a text that it is measured on "
                                   "(allow_overlap): measured.txt"));
  EXPECT_THAT(made.notes, Not(Contains(HasSubstr("other.txt was"))));
}

TEST_F(MainTableTest, ARunWhoseProcessWasKilledIsNotRunning) {
  const RunRow run = put_run("killed", 0);
  const StageRow stage = put_stage(run);
  const pid_t child = fork();
  if (child == 0) {
    ResultStore::open(folder_ / "results.sqlite")->begin_attempt(run.key, stage.key, {});
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  EXPECT_EQ(text(table(), 0, "status"), "perplexity interrupted: its process is gone");
}

TEST_F(MainTableTest, SeveralSeedsAreOneRowWithMeanAndStandardDeviation) {
  put_result("AAQ", 0, 20, 0);
  put_result("AAQ", 1, 21, 1);
  put_result("AAQ", 2, 22, 2);
  const Table made = table();
  ASSERT_EQ(made.rows.size(), 1u);
  EXPECT_EQ(text(made, 0, "perplexity"), "21.0 ± 1.0");
  EXPECT_EQ(text(made, 0, "seed"), "0, 1, 2");
  EXPECT_THAT(made.notes, Contains("Rows of several seeds: mean ± standard deviation over seeds"));
  EXPECT_THAT(made.notes, Not(Contains("±: standard error over items")));
  EXPECT_THAT(to_csv(made), HasSubstr(",21,1,12,20 21 22,"));
}

TEST_F(MainTableTest, ManySeedsStandInANote) {
  for (int seed = 0; seed < 5; ++seed) put_result("AAQ", seed, 20 + seed, seed);
  const Table made = table();
  EXPECT_EQ(text(made, 0, "seed"), "5 runs");
  EXPECT_THAT(made.notes, Contains("Seeds: 0, 1, 2, 3, 4"));
  EXPECT_THAT(to_csv(made), HasSubstr(",0 1 2 3 4,"));
}

TEST_F(MainTableTest, ASeedThatFailedIsARowOfItsOwn) {
  put_result("AAQ", 0, 20, 0);
  const RunRow run = put_run("AAQ", 1, 1);
  store_result(*store_, run, put_stage(run), {}, {}, failed("no memory"));
  put_result("AAQ", 2, 22, 2);
  const Table made = table();
  ASSERT_EQ(made.rows.size(), 2u);
  EXPECT_EQ(text(made, 0, "seed"), "0, 2");
  EXPECT_EQ(text(made, 1, "seed"), "1");
  EXPECT_EQ(text(made, 1, "status"), "perplexity failed: no memory");
}

TEST_F(MainTableTest, RunsThatDifferInMoreThanTheSeedStayApart) {
  put_result("AAQ", 0, 20, 0);
  RunRow other = example_run(experiment_, "AAQ", 1, 1);
  other.format = "w4a4";
  store_->put_run(other);
  store_result(*store_, other, put_stage(other), {{"perplexity", 30, {}, 12}});
  EXPECT_EQ(table().rows.size(), 2u);
}

TEST_F(MainTableTest, MetricsOfSeveralProtocolsStandUnderThem) {
  const RunRow run = put_run("RTN", 0);
  store_result(*store_, run, put_stage(run, "p/1", 0), {{"perplexity", 20, {}, 12}});
  store_result(*store_, run, put_stage(run, "q/1", 1),
               {{"acc", 0.5, {}, 4}, {"acc_norm", 0.6, {}, 4}});
  const Table made = table();
  EXPECT_THAT(to_markdown(made), HasSubstr("p/1<br>perplexity | q/1<br>acc | q/1<br>acc_norm"));
  EXPECT_THAT(made.notes, Contains("Items: perplexity 12, acc 4, acc_norm 4"));
}

TEST_F(MainTableTest, DifferentNumbersOfItemsAreSaid) {
  const RunRow few = put_run("few", 0);
  store_result(*store_, few, put_stage(few), {{"perplexity", 20, {}, 3}});
  put_result("all", 1, 20);
  EXPECT_THAT(table().notes, Contains("Items: perplexity 3 to 12"));
}

TEST_F(MainTableTest, ModelsThatDifferAreAColumn) {
  put_result("one", 0, 20);
  RunRow other = example_run(experiment_, "two", 1);
  other.model = "Llama";
  other.scheme = "Q4_1 checkpoint, dequantized";
  store_->put_run(other);
  store_result(*store_, other, put_stage(other), {{"perplexity", 30, {}, 12}});
  const std::string made = to_text(table());
  EXPECT_THAT(made, HasSubstr("Llama    Q4_1 checkpoint, dequantized"));
  EXPECT_THAT(made, Not(HasSubstr("Model:")));
}

TEST_F(MainTableTest, TrainingSeedsOfAPairAreOneRow) {
  int position = 0;
  for (const char* model : {"pair:world/aligned@3", "pair:world/aligned@4", "pair:world/base@3"}) {
    RunRow run = example_run(experiment_, "RTN", position++);
    run.model = model;
    run.canonical += model;
    run.key = key_of(run.canonical);
    store_->put_run(run);
    store_result(*store_, run, put_stage(run), {{"perplexity", 20.0 + position, {}, 12}});
  }
  const Table made = table();
  ASSERT_EQ(made.rows.size(), 2u);
  EXPECT_EQ(text(made, 0, "seed"), "3:0, 4:0");
  EXPECT_EQ(text(made, 0, "model"), "pair:world/aligned");
  EXPECT_EQ(text(made, 1, "model"), "pair:world/base@3");
}

TEST_F(MainTableTest, ColumnsOfTheFileAreShownAndTheOthersNamed) {
  experiment_.toml += "columns = [\"acc\"]\n";
  experiment_.key = key_of("with columns");
  store_->put_experiment(experiment_);
  const RunRow run = put_run("RTN", 0);
  store_result(*store_, run, put_stage(run), {{"acc", 0.5, {}, 4}, {"acc_norm", 0.625, {}, 4}});
  const Table made = main_table(*store_, experiment_.key);
  EXPECT_THAT(to_text(made), Not(HasSubstr("0.625")));
  EXPECT_THAT(made.notes, Contains("Measured too (in --format csv): acc_norm"));
  EXPECT_THAT(to_csv(made), HasSubstr("0.625"));
}

TEST_F(MainTableTest, NanAndInfinityAreShownAndStored) {
  const RunRow run = put_run("RTN", 0);
  store_result(*store_, run, put_stage(run),
               {{"perplexity", std::nan(""), {}, 1},
                {"worst", std::numeric_limits<double>::infinity(), {}, 1}});
  const Table made = table();
  EXPECT_EQ(text(made, 0, "perplexity"), "NaN");
  EXPECT_EQ(text(made, 0, "worst"), "∞");
  EXPECT_THAT(to_csv(made), HasSubstr(",nan,1,inf,1,"));
}

TEST_F(MainTableTest, AnExperimentWithoutRunsIsAnEmptyTable) {
  const Table made = table();
  EXPECT_THAT(made.rows, IsEmpty());
  EXPECT_THAT(made.notes, Contains("No run of this experiment is stored yet."));
  EXPECT_EQ(to_text(made),
            "quickstart\nrun  format  methods\n───  ──────  ───────\n"
            "No run of this experiment is stored yet.\n");
}

TEST_F(MainTableTest, AttemptsThatDisagreeAreNamed) {
  const RunRow run = put_result("RTN", 0, 20);
  store_result(*store_, run, put_stage(run), {{"perplexity", 20.5, 0.42, 12}});
  EXPECT_EQ(text(table(), 0, "perplexity"), "20.50 ± 0.42");
  EXPECT_THAT(table().notes,
              Contains("RTN: 2 attempts measured perplexity differently (20 to 20.5); "
                       "the latest is shown"));
}

TEST_F(MainTableTest, OtherVersionsAndEarlierRunsAreNamed) {
  put_result("RTN", 0, 20);
  RunRow newer = example_run(experiment_, "RTN", 0);
  const std::string old_key = newer.key;
  newer.key = key_of("newer code");
  store_->put_run(newer);
  const ExperimentRow version = example_experiment("quickstart", " limit=2");
  store_->put_experiment(version);
  store_->put_experiment(experiment_);
  EXPECT_THAT(table().notes, Contains("Other versions of this experiment are stored: " +
                                      version.key.substr(0, 12)));
  EXPECT_THAT(table().notes, Contains("Earlier runs of these rows, with other code or data, are "
                                      "stored: " +
                                      old_key.substr(0, 12)));
}

TEST_F(MainTableTest, AQueryOfOnesOwnReplacesTheMainOne) {
  put_result("good", 0, 20);
  put_result("other", 1, 30);
  std::string sql = kMainTableSql;
  sql.replace(sql.find("WHERE"), 5, "WHERE label = 'other' AND");
  EXPECT_EQ(main_table(*store_, "quickstart", sql).rows.size(), 1u);
  EXPECT_THAT(error_of([&] { main_table(*store_, "quickstart", "SELECT 1 AS position"); }),
              HasSubstr("no column \"kind\""));
}

TEST_F(MainTableTest, AQueryMayBeATableByItself) {
  put_result("good", 0, 20);
  EXPECT_EQ(to_csv(query_table(*store_, "quickstart",
                               "SELECT label, value FROM results WHERE experiment_key = "
                               ":experiment")),
            "label,value\ngood,20\n");
}

TEST_F(MainTableTest, AnUnknownExperimentListsTheStoredOnes) {
  EXPECT_THAT(error_of([&] { main_table(*store_, "quickstar"); }),
              HasSubstr("did you mean \"quickstart\"?"));
}

TEST_F(MainTableTest, ProvenanceNamesTheRunsThatAValueHoldsFor) {
  put_result("one", 0, 20);
  put_result("two", 1, 20);
  EXPECT_EQ(to_csv(provenance_table(*store_, "quickstart")),
            "key,value,runs\n"
            "device,cpu,\"one,two\"\n"
            "harness.commit,abc,\"one,two\"\n");
}

TEST_F(MainTableTest, ExperimentsAreListedWithWhatIsComplete) {
  put_result("good", 0, 20);
  const RunRow bad = put_run("bad", 1);
  store_result(*store_, bad, put_stage(bad), {}, {}, failed("no"));
  put_stage(put_run("waiting", 2));
  EXPECT_THAT(to_csv(experiments_table(*store_)),
              HasSubstr("quickstart," + experiment_.key.substr(0, 12) + ",3,1,"));
}

}  // namespace
}  // namespace harness::test
