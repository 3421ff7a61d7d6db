#include "harness/store/result_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <limits>

#include "harness/store/sqlite.h"
#include "tests/store/example_store.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using ::testing::HasSubstr;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class ResultStoreTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  std::unique_ptr<ResultStore> store_ = ResultStore::open(folder_ / "results.sqlite");
};

TEST_F(ResultStoreTest, AFinishedAttemptIsReadBackAfterReopening) {
  OneRun one(*store_);
  store_result(*store_, one.run, one.stage, {{"perplexity", 23.5, 0.25, 12}, {"nll", 3.1, {}, 12}},
               {{"w1", 1, 3.25, "doc1", R"({"tokens":2047})"}, {"w0", 0, 2.75, "", ""}});
  store_ = ResultStore::open(folder_ / "results.sqlite");

  EXPECT_TRUE(store_->stage_done(one.stage.key));
  const auto metrics = store_->metrics(one.stage.key);
  ASSERT_EQ(metrics.size(), 2u);
  EXPECT_EQ(metrics[0].name, "perplexity");
  EXPECT_EQ(metrics[0].value, 23.5);
  EXPECT_EQ(metrics[0].standard_error, 0.25);
  EXPECT_EQ(metrics[0].count, 12);
  EXPECT_EQ(metrics[1].standard_error, std::nullopt);
  const auto items = store_->items(one.stage.key);
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].id, "w0");
  EXPECT_EQ(items[0].detail_json, "{}");
  EXPECT_EQ(items[1].score, 3.25);
  EXPECT_EQ(items[1].cluster, "doc1");
  EXPECT_EQ(items[1].detail_json, R"({"tokens":2047})");
}

TEST_F(ResultStoreTest, TheDatabaseIsInWriteAheadMode) {
  const sqlite::Connection other(store_->path(), sqlite::Connection::Mode::read_only);
  EXPECT_EQ(other.text("PRAGMA journal_mode"), "wal");
}

TEST_F(ResultStoreTest, EveryTableIsStrict) {
  EXPECT_EQ(cell(*store_, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'"), "13");
  EXPECT_EQ(cell(*store_,
                 "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE "
                 "'%STRICT%'"),
            "0");
}

TEST_F(ResultStoreTest, ADatabaseOfTheFirstSchemaIsBroughtUpToDate) {
  const OneRun one(*store_);
  const std::filesystem::path path = store_->path();
  store_.reset();
  {
    const sqlite::Connection old(path, sqlite::Connection::Mode::read_write);
    old.execute(
        "PRAGMA writable_schema = ON;"
        "UPDATE sqlite_schema SET sql = replace(sql, '''train'', ', '') WHERE name = 'stages';"
        "PRAGMA user_version = 1; PRAGMA writable_schema = RESET");
    EXPECT_NE(error_of([&] {
                old.execute("INSERT INTO stages VALUES ('k', 'train', 'n', '', '', NULL)");
              }),
              "");
  }
  EXPECT_EQ(cell(*ResultStore::open_read_only(path), "PRAGMA user_version"), "1");
  store_ = ResultStore::open(path);
  StageRow stage = one.stage;
  stage.kind = "train";
  stage.key = std::string(64, 'a');
  stage.parent_key = "";
  store_->put_stage(stage);
  EXPECT_EQ(cell(*store_, "SELECT count(*) FROM stages WHERE kind = 'train'"), "1");
  EXPECT_EQ(cell(*store_, "SELECT count(*) FROM stages WHERE kind <> 'train'"), "1");
  EXPECT_EQ(
      cell(*store_, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
      "1");
}

TEST_F(ResultStoreTest, DoublesKeepEveryDigit) {
  OneRun one(*store_);
  const std::vector<double> values = {
      0.1, 1.0 / 3, std::nextafter(1.0, 2.0), -1.7976931348623157e308, 5e-324, 9007199254740993.0};
  std::vector<MetricRow> metrics;
  for (double value : values)
    metrics.push_back({std::string(1, static_cast<char>('a' + metrics.size())), value, value, 1});
  store_result(*store_, one.run, one.stage, metrics);

  const auto typed = store_->metrics(one.stage.key);
  const auto text = store_->query("SELECT value FROM results ORDER BY metric_position");
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(typed[i].value, values[i]);
    EXPECT_EQ(*typed[i].standard_error, values[i]);
    EXPECT_EQ(std::strtod(text.rows[i][0]->c_str(), nullptr), values[i]);
  }
}

TEST_F(ResultStoreTest, NumbersThatAreNotFiniteAreNullWithAStatus) {
  OneRun one(*store_);
  store_result(*store_, one.run, one.stage,
               {{"a", kNan, kNan, 1}, {"b", kInfinity, {}, 1}, {"c", -kInfinity, {}, 1}},
               {{"i", 0, kNan, "", ""}});

  const auto rows = store_->query("SELECT value, status FROM metrics ORDER BY position").rows;
  EXPECT_EQ(rows[0], (std::vector<std::optional<std::string>>{std::nullopt, "nan"}));
  EXPECT_EQ(rows[1], (std::vector<std::optional<std::string>>{std::nullopt, "inf"}));
  EXPECT_EQ(rows[2], (std::vector<std::optional<std::string>>{std::nullopt, "-inf"}));
  const auto metrics = store_->metrics(one.stage.key);
  EXPECT_TRUE(std::isnan(metrics[0].value));
  EXPECT_EQ(metrics[0].standard_error, std::nullopt);
  EXPECT_EQ(metrics[1].value, kInfinity);
  EXPECT_EQ(metrics[2].value, -kInfinity);
  EXPECT_TRUE(std::isnan(store_->items(one.stage.key).at(0).score));
}

TEST_F(ResultStoreTest, TheSameContentTwiceIsOneRow) {
  OneRun first(*store_);
  OneRun again(*store_);
  for (const char* table : {"experiments", "runs", "experiment_runs", "stages", "run_stages"})
    EXPECT_EQ(cell(*store_, std::string("SELECT count(*) FROM ") + table), "1") << table;
}

TEST_F(ResultStoreTest, WhatIsPutAtOnceIsThereAsAWholeOrNotAtAll) {
  const ExperimentRow experiment = example_experiment("at once");
  auto count = [&] {
    return *store_->query("SELECT count(*) FROM experiment_runs WHERE label = 'both'")
                .rows.at(0)
                .at(0);
  };
  auto put = [&] {
    store_->put_experiment(experiment);
    for (int position = 0; position < 2; ++position)
      store_->put_run(example_run(experiment, "both", position, position));
  };
  EXPECT_THROW(store_->at_once([&] {
    put();
    throw Error("half-way");
  }),
               Error);
  EXPECT_EQ(count(), "0");
  store_->at_once(put);
  EXPECT_EQ(count(), "2");
}

TEST_F(ResultStoreTest, AFailedAttemptIsARowWithItsMessageAndNotDone) {
  OneRun one(*store_);
  store_result(*store_, one.run, one.stage, {}, {}, failed("no memory for the logits"));
  EXPECT_FALSE(store_->stage_done(one.stage.key));
  const auto rows = store_->query("SELECT attempt_status, message, metric FROM results").rows;
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0][0], "failed");
  EXPECT_EQ(rows[0][1], "no memory for the logits");
  EXPECT_EQ(rows[0][2], std::nullopt);
}

TEST_F(ResultStoreTest, ARunWithoutAnyAttemptIsARowOfTheResults) {
  OneRun one(*store_);
  EXPECT_EQ(cell(*store_, "SELECT attempt_status FROM results"), "not started");
}

TEST_F(ResultStoreTest, ARunWithoutStagesIsARowOfTheResults) {
  const ExperimentRow experiment = example_experiment("bare");
  store_->put_experiment(experiment);
  store_->put_run(example_run(experiment, "RTN", 0));
  EXPECT_EQ(cell(*store_, "SELECT attempt_status FROM results WHERE label = 'RTN'"), "not started");
}

TEST_F(ResultStoreTest, ASecondSuccessKeepsTheFirstAndIsTheOneShown) {
  OneRun one(*store_);
  store_result(*store_, one.run, one.stage, {{"perplexity", 20.0, {}, 1}}, {{"w", 0, 1, "", ""}});
  store_result(*store_, one.run, one.stage, {{"perplexity", 21.0, {}, 1}}, {{"w", 0, 2, "", ""}});
  EXPECT_EQ(cell(*store_, "SELECT group_concat(value) FROM (SELECT value FROM metrics ORDER BY 1)"),
            "20.0,21.0");
  EXPECT_EQ(store_->metrics(one.stage.key).at(0).value, 21.0);
  EXPECT_EQ(store_->items(one.stage.key).at(0).score, 2.0);
  EXPECT_EQ(cell(*store_, "SELECT value FROM results"), "21");
}

TEST_F(ResultStoreTest, AFailureAfterASuccessHidesNothing) {
  OneRun one(*store_);
  store_result(*store_, one.run, one.stage, {{"perplexity", 20.0, {}, 1}});
  store_result(*store_, one.run, one.stage, {}, {}, failed("later"));
  EXPECT_TRUE(store_->stage_done(one.stage.key));
  EXPECT_EQ(cell(*store_, "SELECT value FROM results"), "20");
  EXPECT_EQ(cell(*store_, "SELECT count(*) FROM attempts"), "2");
}

TEST_F(ResultStoreTest, AttemptsThatMeasuredDifferentValuesDisagree) {
  OneRun one(*store_);
  store_result(*store_, one.run, one.stage, {{"perplexity", 20.0, {}, 1}, {"nll", 3.0, {}, 1}});
  EXPECT_EQ(cell(*store_, "SELECT count(*) FROM disagreements"), "0");
  store_result(*store_, one.run, one.stage, {{"perplexity", 20.5, {}, 1}, {"nll", 3.0, {}, 1}});
  EXPECT_EQ(cell(*store_, "SELECT metric FROM disagreements"), "perplexity");
  EXPECT_EQ(cell(*store_, "SELECT count(*) FROM disagreements"), "1");
}

TEST_F(ResultStoreTest, ItemsThatTheDataRepeatsAreAllKept) {
  OneRun one(*store_);
  store_result(*store_, one.run, one.stage, {},
               {{"same", 0, 1, "", ""}, {"other", 1, 2, "", ""}, {"same", 2, 3, "", ""}});
  EXPECT_EQ(cell(*store_,
                 "SELECT group_concat(repeat) FROM (SELECT repeat FROM items ORDER BY "
                 "position)"),
            "0,0,1");
}

TEST_F(ResultStoreTest, ProvenanceIsOneRowAKeyAndTheLastWordWins) {
  OneRun one(*store_);
  const auto attempt =
      store_->begin_attempt(one.run.key, one.stage.key, {{"device", "cpu"}, {"threads", "2"}});
  AttemptOutcome outcome;
  outcome.provenance = {{"threads", "1"}, {"data.digest", "77"}};
  store_->finish_attempt(attempt, outcome);
  EXPECT_EQ(cell(*store_,
                 "SELECT group_concat(key || '=' || value) FROM (SELECT * FROM provenance ORDER BY "
                 "key)"),
            "data.digest=77,device=cpu,threads=1");
}

TEST_F(ResultStoreTest, AnAttemptSaysWhenAndByWhichProcess) {
  OneRun one(*store_);
  AttemptOutcome outcome;
  outcome.wall_seconds = 1.5;
  outcome.cpu_seconds = 2.5;
  outcome.peak_memory_bytes = 123;
  store_result(*store_, one.run, one.stage, {}, {}, outcome);
  const auto row =
      store_->query("SELECT wall_seconds, cpu_seconds, peak_memory_bytes, pid FROM attempts")
          .rows[0];
  EXPECT_EQ(row[0], "1.5");
  EXPECT_EQ(row[1], "2.5");
  EXPECT_EQ(row[2], "123");
  EXPECT_EQ(row[3], std::to_string(getpid()));
  EXPECT_EQ(cell(*store_,
                 "SELECT started_at GLOB '20*-*-*T*:*:*.[0-9][0-9][0-9][0-9][0-9][0-9]Z' AND "
                 "started_at <= ended_at "
                 "FROM attempts"),
            "1");
}

TEST_F(ResultStoreTest, AResultThatCannotBeStoredWholeIsNotStoredAtAll) {
  OneRun one(*store_);
  const auto attempt = store_->begin_attempt(one.run.key, one.stage.key, {});
  const std::string error = error_of([&] {
    store_->finish_attempt(attempt, {}, {{"twice", 1, {}, 1}, {"twice", 2, {}, 1}});
  });
  EXPECT_THAT(error, HasSubstr("results.sqlite"));
  EXPECT_EQ(cell(*store_, "SELECT status FROM attempts"), "running");
  EXPECT_EQ(cell(*store_, "SELECT count(*) FROM metrics"), "0");
  // and the connection goes on
  store_->finish_attempt(attempt, failed("metric twice"));
  EXPECT_EQ(cell(*store_, "SELECT status FROM attempts"), "failed");
}

TEST_F(ResultStoreTest, AnAttemptEndsOnce) {
  OneRun one(*store_);
  const auto attempt = store_result(*store_, one.run, one.stage, {});
  EXPECT_THAT(error_of([&] { store_->finish_attempt(attempt, failed("again")); }),
              HasSubstr("is not running"));
}

TEST_F(ResultStoreTest, AnInterruptedAttemptIsNeitherDoneNorFailed) {
  OneRun one(*store_);
  AttemptOutcome outcome;
  outcome.status = AttemptStatus::interrupted;
  store_result(*store_, one.run, one.stage, {}, {}, outcome);
  EXPECT_FALSE(store_->stage_done(one.stage.key));
  EXPECT_EQ(cell(*store_, "SELECT attempt_status FROM results"), "interrupted");
}

TEST_F(ResultStoreTest, AnotherRunOfTheSameStageHasItsResults) {
  OneRun one(*store_);
  store_result(*store_, one.run, one.stage, {{"perplexity", 20.0, {}, 1}});
  const ExperimentRow second = example_experiment("second");
  const RunRow run = example_run(second, "shared", 0);
  store_->put_experiment(second);
  store_->put_run(run);
  store_->link(run.key, one.stage.key, 0);
  EXPECT_EQ(cell(*store_, "SELECT value FROM results WHERE label = 'shared'"), "20");
}

TEST_F(ResultStoreTest, ARunPutAgainIsTheCurrentOneOfItsPlace) {
  OneRun one(*store_);
  RunRow newer = one.run;
  newer.key = key_of("the same with newer code");
  store_->put_run(newer);
  EXPECT_EQ(cell(*store_, "SELECT run_key FROM current_runs"), newer.key);
  store_->put_run(one.run);
  EXPECT_EQ(cell(*store_, "SELECT run_key FROM current_runs"), one.run.key);
  EXPECT_EQ(cell(*store_, "SELECT count(*) FROM experiment_runs"), "2");
}

TEST_F(ResultStoreTest, CurvesKeepTheirPointsAndReplaceARepeatedStep) {
  OneRun one(*store_);
  const auto attempt = store_->begin_attempt(one.run.key, one.stage.key, {});
  store_->add_curve_points(attempt, {{"loss", 0, 5.0}, {"loss", 10, kNan}, {"rate", 0, 0.1}});
  store_->add_curve_points(attempt, {{"loss", 0, 4.0}});
  const auto rows =
      store_->query("SELECT step, value, status FROM curves WHERE series = 'loss' ORDER BY step")
          .rows;
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0][1], "4");
  EXPECT_EQ(rows[1][1], std::nullopt);
  EXPECT_EQ(rows[1][2], "nan");
}

TEST_F(ResultStoreTest, TextOfEveryKindIsKept) {
  OneRun one(*store_);
  const std::string message = "it's \"bad\";\n\t‖x‖ ≥ 0.5 𝔘; DROP TABLE runs; --";
  store_result(*store_, one.run, one.stage, {}, {}, failed(message));
  EXPECT_EQ(cell(*store_, "SELECT message FROM attempts"), message);
}

/// An item with two samples, one of which another item's model wrote too.
ItemRow item_with_answers(const std::string& id) {
  ItemRow item{id, 0, 1, "", R"({"measured":"attack_success","category":"a"})"};
  item.completions = {{"bake", "with flour", "stop", 3, {{"list/1", true}}},
                      {"bake", id, "length", 4, {{"list/1", false}, {"judge/1", std::nullopt}}}};
  return item;
}

TEST_F(ResultStoreTest, TwoStoresMerge) {
  OneRun shared(*store_);
  store_result(*store_, shared.run, shared.stage, {{"perplexity", 20.0, {}, 1}});
  {
    auto other = ResultStore::open(folder_ / "other.sqlite");
    OneRun same(*other);
    OneRun second(*other, "second");
    store_result(*other, same.run, same.stage, {{"perplexity", 20.0, {}, 1}});
    const auto attempt = store_result(*other, second.run, second.stage, {{"accuracy", 0.5, 0.1, 4}},
                                      {{"q1", 0, 1, "", ""}, {"q2", 1, 0, "", ""}});
    other->begin_attempt(second.run.key, second.stage.key, {});
    EXPECT_NE(attempt, 0);
  }
  for (int times = 0; times < 2; ++times) {
    store_->merge(folder_ / "other.sqlite");
    EXPECT_EQ(cell(*store_, "SELECT count(*) FROM experiments"), "2");
    EXPECT_EQ(cell(*store_, "SELECT count(*) FROM attempts"), "4");
    EXPECT_EQ(cell(*store_, "SELECT count(*) FROM provenance"), "6");
    EXPECT_EQ(cell(*store_, "SELECT count(*) FROM items"), "2");
    EXPECT_EQ(cell(*store_, "SELECT value FROM results WHERE metric = 'accuracy'"), "0.5");
  }
}

TEST_F(ResultStoreTest, MergingBringsTheEndOfAnAttemptThatWasRunning) {
  auto other = ResultStore::open(folder_ / "other.sqlite");
  OneRun one(*other);
  const auto attempt = other->begin_attempt(one.run.key, one.stage.key, {});
  store_->merge(folder_ / "other.sqlite");
  EXPECT_EQ(cell(*store_, "SELECT status FROM attempts"), "running");
  other->finish_attempt(attempt, {}, {{"perplexity", 20.0, {}, 1}});
  store_->merge(folder_ / "other.sqlite");
  EXPECT_EQ(cell(*store_, "SELECT status FROM attempts"), "succeeded");
  EXPECT_EQ(cell(*store_, "SELECT value FROM results"), "20");
}

TEST_F(ResultStoreTest, AMergeSaysWhatItBrought) {
  const OneRun one(*store_);
  {
    const auto other = ResultStore::open(folder_ / "other.sqlite");
    const OneRun same(*other);
    store_result(*other, same.run, same.stage, {{"perplexity", 20.0, {}, 1}},
                 {item_with_answers("p")});
  }
  using Added = std::vector<std::pair<std::string, std::int64_t>>;
  EXPECT_EQ(store_->merge(folder_ / "other.sqlite").added, (Added{{"attempts", 1},
                                                                  {"provenance", 2},
                                                                  {"metrics", 1},
                                                                  {"items", 1},
                                                                  {"completions", 2},
                                                                  {"answers", 2},
                                                                  {"verdicts", 3}}));
  const MergeOutcome again = store_->merge(folder_ / "other.sqlite");
  EXPECT_EQ(again.added, Added());
  EXPECT_EQ(again.differing_verdicts, 0);
}

// Another machine got another number under the same key: both stay, each with where it comes from.
TEST_F(ResultStoreTest, WhatTwoMachinesMeasuredDifferentlyIsKeptTwice) {
  const OneRun one(*store_);
  store_result(*store_, one.run, one.stage, {{"perplexity", 20.0, {}, 1}}, {{"w", 0, 3.0, "", ""}});
  {
    const auto other = ResultStore::open(folder_ / "other.sqlite");
    const OneRun same(*other);
    const auto attempt =
        other->begin_attempt(same.run.key, same.stage.key, {{"device", "another"}});
    other->finish_attempt(attempt, {}, {{"perplexity", 20.5, {}, 1}}, {{"w", 0, 3.1, "", ""}});
  }
  store_->merge(folder_ / "other.sqlite");
  EXPECT_EQ(cell(*store_, "SELECT count(*) || ' ' || sum(value) FROM metrics"), "2 40.5");
  EXPECT_EQ(cell(*store_,
                 "SELECT values_measured || ' ' || least || ' ' || greatest "
                 "FROM disagreements"),
            "2 20.0 20.5");
  EXPECT_EQ(cell(*store_,
                 "SELECT group_concat(value) FROM (SELECT p.value FROM provenance p JOIN "
                 "metrics m USING (attempt) WHERE p.key = 'device' ORDER BY m.value)"),
            "cpu,another");
  // The latest is shown, and no mean of both.
  EXPECT_EQ(cell(*store_, "SELECT value FROM results WHERE metric = 'perplexity'"), "20.5");
}

TEST_F(ResultStoreTest, VerdictsThatDifferStayAndAreCounted) {
  const OneRun one(*store_);
  store_result(*store_, one.run, one.stage, {}, {item_with_answers("p")});
  const std::string answer = store_->answers(one.experiment.key)[0].digest;
  {
    const auto other = ResultStore::open(folder_ / "other.sqlite");
    other->put_verdicts("human:anna", {{answer, true}});
  }
  store_->put_verdicts("human:anna", {{answer, false}});
  EXPECT_EQ(store_->merge(folder_ / "other.sqlite").differing_verdicts, 1);
  EXPECT_EQ(cell(*store_, "SELECT complied FROM verdicts WHERE scorer = 'human:anna'"), "0");
}

/// Moves all times of a database a year ahead.
void put_clock_ahead(const std::filesystem::path& database) {
  const sqlite::Connection connection(database, sqlite::Connection::Mode::read_write);
  for (const auto& [table, column] : {std::pair("experiments", "used_at"),
                                      {"experiment_runs", "used_at"},
                                      {"attempts", "started_at"},
                                      {"attempts", "ended_at"}})
    connection.execute(fmt::format("UPDATE {0} SET {1} = (substr({1}, 1, 4) + 1) || substr({1}, 5)",
                                   table, column));
}

TEST_F(ResultStoreTest, WhereTheClockGoesBackTheLastUsedIsStillTheLast) {
  OneRun before(*store_);
  store_result(*store_, before.run, before.stage, {}, {}, failed("before"));
  const std::filesystem::path path = store_->path();
  store_.reset();
  put_clock_ahead(path);
  store_ = ResultStore::open(path);
  // The same place of the experiment with other code, and another version of the experiment.
  RunRow after = before.run;
  after.canonical += " changed";
  after.key = key_of(after.canonical);
  store_->put_run(after);
  EXPECT_EQ(cell(*store_, "SELECT run_key FROM current_runs"), after.key);
  const ExperimentRow version = example_experiment("first", " changed");
  store_->put_experiment(version);
  EXPECT_EQ(cell(*store_, "SELECT key FROM experiments ORDER BY used_at DESC LIMIT 1"),
            version.key);
  store_result(*store_, before.run, before.stage, {}, {}, failed("after"));
  EXPECT_EQ(cell(*store_, "SELECT message FROM shown_attempts"), "after");
  EXPECT_EQ(cell(*store_, "SELECT count(*) FROM attempts WHERE started_at > ended_at"), "0");
  // Microseconds apart, in the order in which they came.
  EXPECT_EQ(cell(*store_, "SELECT count(DISTINCT ended_at) FROM attempts"), "2");
}

TEST_F(ResultStoreTest, MergingADatabaseWithItselfOrWithNothingIsRefused) {
  EXPECT_THAT(error_of([&] { store_->merge(folder_ / "results.sqlite"); }), HasSubstr("itself"));
  EXPECT_THAT(error_of([&] { store_->merge(folder_ / "absent.sqlite"); }),
              HasSubstr("no such file"));
}

TEST_F(ResultStoreTest, AnAnswerIsKeptOnceAndJudgedOnce) {
  const OneRun one(*store_);
  store_result(*store_, one.run, one.stage, {},
               {item_with_answers("p"), item_with_answers("q"), item_with_answers("p")});
  EXPECT_EQ(cell(*store_, "SELECT count(*) FROM completions"), "6");
  EXPECT_EQ(cell(*store_, "SELECT count(*) FROM completions WHERE repeat = 1"), "2");
  EXPECT_EQ(cell(*store_, "SELECT count(*) FROM answers"), "3");
  EXPECT_EQ(cell(*store_, "SELECT count(*) FROM verdicts"), "5");
  const std::vector<StoredAnswer> answers = store_->answers(one.experiment.key);
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_LT(answers[0].digest, answers[1].digest);
  EXPECT_EQ(answers[0].prompt, "bake");
  EXPECT_TRUE(store_->answers("another").empty());
  // Half of what the list could tell; the judge could tell of none.
  EXPECT_EQ(cell(*store_,
                 "SELECT group_concat(DISTINCT scorer || ' ' || complied) "
                 "FROM judged_items"),
            "list/1 0.5");

  EXPECT_TRUE(store_->answers_without("list/1", one.experiment.key).empty());
  const auto unjudged = store_->answers_without("judge/1", one.experiment.key);
  ASSERT_EQ(unjudged.size(), 1u);
  EXPECT_EQ(unjudged[0].text, "with flour");
  store_->put_verdicts("judge/1", {{unjudged[0].digest, true}});
  store_->put_verdicts("list/1", {{unjudged[0].digest, false}});  // it thought again
  EXPECT_TRUE(store_->answers_without("judge/1", one.experiment.key).empty());
  EXPECT_EQ(cell(*store_, "SELECT sum(complied) FROM verdicts WHERE scorer = 'list/1'"), "0");
}

TEST_F(ResultStoreTest, MergingBringsAnswersAndVerdicts) {
  {
    const auto other = ResultStore::open(folder_ / "other.sqlite");
    const OneRun one(*other);
    store_result(*other, one.run, one.stage, {}, {item_with_answers("p")});
  }
  for (int i = 0; i < 2; ++i) {
    store_->merge(folder_ / "other.sqlite");
    EXPECT_EQ(cell(*store_, "SELECT count(*) FROM completions JOIN answers ON answer = digest"),
              "2");
    EXPECT_EQ(cell(*store_, "SELECT count(*) FROM verdicts"), "3");
  }
}

TEST_F(ResultStoreTest, ADatabaseOfSchema3GetsTheViewsOfThisOne) {
  const OneRun one(*store_);
  const std::filesystem::path path = store_->path();
  const char* schema =
      "SELECT group_concat(name || sql) FROM (SELECT name, sql FROM sqlite_schema "
      "WHERE sql IS NOT NULL ORDER BY name)";
  const std::string current = cell(*store_, schema);
  store_.reset();
  sqlite::Connection(path, sqlite::Connection::Mode::read_write)
      .execute(
          "DROP VIEW results; DROP VIEW experiment_rows; "
          "CREATE VIEW results AS SELECT * FROM experiments; PRAGMA user_version = 3");
  store_ = ResultStore::open(path);
  EXPECT_EQ(cell(*store_, schema), current);
}

TEST_F(ResultStoreTest, ADatabaseOfSchema2LearnsToKeepAnswers) {
  const OneRun one(*store_);
  const std::filesystem::path path = store_->path();
  store_.reset();
  sqlite::Connection(path, sqlite::Connection::Mode::read_write)
      .execute(
          "DROP VIEW judged_items; DROP TABLE completions; DROP TABLE answers; DROP TABLE verdicts;"
          "PRAGMA user_version = 2");
  const auto newer = ResultStore::open(folder_ / "newer.sqlite");
  newer->merge(path);  // which has none of them
  EXPECT_EQ(cell(*newer, "SELECT count(*) FROM runs"), "1");
  store_ = ResultStore::open(path);
  EXPECT_EQ(cell(*store_, "PRAGMA user_version"), std::to_string(kSchemaVersion));
  store_result(*store_, one.run, one.stage, {}, {item_with_answers("p")});
  EXPECT_EQ(store_->answers(one.experiment.key).size(), 2u);
  const char* schema =
      "SELECT group_concat(name || sql) FROM (SELECT name, sql FROM sqlite_schema "
      "WHERE sql IS NOT NULL ORDER BY name)";
  EXPECT_EQ(cell(*store_, schema), cell(*newer, schema));
}

TEST_F(ResultStoreTest, TheFolderOfANewDatabaseIsMade) {
  ResultStore::open(folder_ / "a/b/results.sqlite");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "a/b/results.sqlite"));
}

}  // namespace
}  // namespace harness::test
