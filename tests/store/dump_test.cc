#include "harness/store/dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <limits>

#include "tests/store/example_store.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class DumpTest : public ::testing::Test {
 protected:
  /// load -> method -> eval, with everything that can be stored.
  OneRun put_all(ResultStore& store, const std::string& name) {
    OneRun one(store, name);
    const StageRow load = example_stage("load of " + name, "load");
    const StageRow method = example_stage("method of " + name, "method", load.key);
    for (const StageRow* stage : {&load, &method}) {
      store.put_stage(*stage);
      store.link(one.run.key, stage->key, 0);
    }
    store_result(store, one.run, load, {});
    store_result(store, one.run, method, {}, {}, failed("it's bad"));
    const auto attempt = store.begin_attempt(one.run.key, one.stage.key, {{"device", "cpu"}});
    store.add_curve_points(attempt, {{"loss", 1, 0.1}});
    store.finish_attempt(
        attempt, {},
        {{"perplexity", 1.0 / 3, 0.1, 2},
         {"worst", std::numeric_limits<double>::infinity(), {}, 1}},
        {{"w1", 1, 0.2, "c", "{}", {{"a prompt", "an answer", "stop", 2, {{"list/1", true}}}}},
         {"w0", 0, 0.7, "", ""}});
    return one;
  }

  /// Makes a database of a dump, as the sqlite3 program would.
  std::unique_ptr<ResultStore> restored(const std::string& sql) {
    const std::filesystem::path path = folder_ / "restored.sqlite";
    sqlite3* database = nullptr;
    sqlite3_open(path.c_str(), &database);
    char* message = nullptr;
    EXPECT_EQ(sqlite3_exec(database, ("PRAGMA foreign_keys = ON;" + sql).c_str(), nullptr, nullptr,
                           &message),
              SQLITE_OK)
        << message;
    sqlite3_close(database);
    return ResultStore::open(path);
  }

  TemporaryFolder folder_;
  std::unique_ptr<ResultStore> store_ = ResultStore::open(folder_ / "results.sqlite");
};

TEST_F(DumpTest, ADumpIsADatabaseAgain) {
  const OneRun one = put_all(*store_, "first");
  const auto copy = restored(dump(*store_, "first"));
  for (const char* table :
       {"experiments", "runs", "experiment_runs", "stages", "run_stages", "provenance", "metrics",
        "items", "curves", "completions", "verdicts"}) {
    const std::string sql = std::string("SELECT * FROM ") + table + " ORDER BY 1, 2, 3";
    EXPECT_EQ(copy->query(sql).rows, store_->query(sql).rows) << table;
  }
  EXPECT_EQ(copy->metrics(one.stage.key).at(0).value, 1.0 / 3);
  EXPECT_EQ(copy->query("SELECT status, message FROM attempts ORDER BY id").rows,
            store_->query("SELECT status, message FROM attempts ORDER BY id").rows);
}

TEST_F(DumpTest, TheSameContentGivesTheSameText) {
  put_all(*store_, "first");
  const std::string text = dump(*store_, "first");
  EXPECT_EQ(dump(*restored(text), "first"), text);
}

TEST_F(DumpTest, OtherExperimentsAreLeftOut) {
  put_all(*store_, "first");
  const OneRun other = put_all(*store_, "second");
  const std::string text = dump(*store_, "first");
  EXPECT_THAT(text, Not(HasSubstr(other.run.key)));
  EXPECT_THAT(text, Not(HasSubstr(other.stage.key)));
}

TEST_F(DumpTest, AnAttemptOfASharedStageBringsTheRunItWasMadeFor) {
  const OneRun first = put_all(*store_, "first");
  const ExperimentRow second = example_experiment("second");
  store_->put_experiment(second);
  const RunRow run = example_run(second, "shared", 0);
  store_->put_run(run);
  store_->link(run.key, first.stage.key, 0);
  const auto copy = restored(dump(*store_, "second"));  // foreign keys are checked
  EXPECT_EQ(cell(*copy, "SELECT count(*) FROM results WHERE metric IS NOT NULL"), "2");
  EXPECT_EQ(cell(*copy, "SELECT group_concat(DISTINCT experiment) FROM results"), "second");
}

TEST_F(DumpTest, WhatModelsWroteStaysOnTheMachine) {
  put_all(*store_, "first");
  EXPECT_EQ(cell(*store_, "SELECT prompt || text FROM answers"), "a promptan answer");
  const std::string text = dump(*store_, "first");
  EXPECT_THAT(text, Not(HasSubstr("an answer")));
  EXPECT_THAT(text, Not(HasSubstr("a prompt")));
  const auto copy = restored(text);
  EXPECT_EQ(cell(*copy, "SELECT count(*) FROM answers"), "0");
  // Its digest and what scorers said of it are there.
  EXPECT_EQ(cell(*copy, "SELECT answer FROM completions"),
            cell(*store_, "SELECT digest FROM answers"));
  EXPECT_EQ(cell(*copy, "SELECT scorer || complied FROM verdicts"), "list/11");
}

TEST_F(DumpTest, WithoutItemsTheMetricsStay) {
  const OneRun one = put_all(*store_, "first");
  const std::string text = dump(*store_, "first", DumpedItems::none);
  const auto copy = restored(text);
  EXPECT_EQ(copy->metrics(one.stage.key).size(), 2u);
  EXPECT_EQ(cell(*copy, "SELECT count(*) FROM curves"), "1");
  for (const char* table : {"items", "completions", "verdicts"})
    EXPECT_EQ(cell(*copy, std::string("SELECT count(*) FROM ") + table), "0") << table;
  EXPECT_THAT(text, HasSubstr("without its items"));
}

TEST_F(DumpTest, ItemsCanBeThoseOfEachLabelsFirstRun) {
  const OneRun one = put_all(*store_, "first");
  // The second seed of the same label, and the first of another.
  const std::pair<const char*, int> others[] = {{"RTN", 1}, {"GPTQ", 2}};
  for (const auto& [label, position] : others) {
    const RunRow run = example_run(one.experiment, label, position, position);
    const StageRow stage = example_stage(std::string("perplexity of ") + label, "eval");
    store_->put_run(run);
    store_->put_stage(stage);
    store_->link(run.key, stage.key, 0);
    store_result(*store_, run, stage, {{"perplexity", 7, {}, 1}}, {{label, 0, 2, "", ""}});
  }
  const std::string text = dump(*store_, "first", DumpedItems::first);
  const auto copy = restored(text);
  EXPECT_EQ(cell(*copy, "SELECT group_concat(id, ' ') FROM (SELECT id FROM items ORDER BY id)"),
            "GPTQ w0 w1");
  EXPECT_EQ(cell(*copy, "SELECT count(*) FROM metrics WHERE name = 'perplexity'"), "3");
  EXPECT_EQ(cell(*copy, "SELECT count(*) FROM verdicts"), "1");
  EXPECT_THAT(text, HasSubstr("with the items of the first run of each label"));
}

TEST_F(DumpTest, WhatADerivedEvalReadsComesWithIt) {
  const OneRun one = put_all(*store_, "first");
  const StageRow load = example_stage("load of the base", "load");
  const StageRow read = example_stage("perplexity of the base", "eval", load.key);
  StageRow derived = example_stage("", "eval", one.stage.key);
  derived.canonical = "{\"reads\":{\"base\":\"" + read.key + "\"}}";
  for (const StageRow& stage : {load, read, derived}) store_->put_stage(stage);
  store_->link(one.run.key, derived.key, 1);
  store_result(*store_, one.run, read, {{"perplexity", 7, {}, 1}}, {{"w0", 0, 2, "", ""}});
  const auto copy = restored(dump(*store_, "first"));
  EXPECT_EQ(copy->metrics(read.key).at(0).value, 7);
  EXPECT_EQ(copy->items(read.key).size(), 1u);
}

TEST_F(DumpTest, NoMachineIsNamed) {
  put_all(*store_, "first");
  const auto copy = restored(dump(*store_, "first"));
  EXPECT_EQ(cell(*copy,
                 "SELECT count(*) FROM attempts WHERE host IS NOT NULL OR pid IS NOT NULL OR "
                 "process IS NOT NULL"),
            "0");
}

TEST_F(DumpTest, AnUnknownExperimentIsAnError) {
  EXPECT_THAT(error_of([&] { dump(*store_, "first"); }), HasSubstr("holds no experiment"));
}

}  // namespace
}  // namespace harness::test
