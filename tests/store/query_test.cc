#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/store/example_store.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class QueryTest : public ::testing::Test {
 protected:
  std::string error(const std::string& sql) {
    return error_of([&] { store_->query(sql); });
  }
  TemporaryFolder folder_;
  std::unique_ptr<ResultStore> store_ = ResultStore::open(folder_ / "results.sqlite");
  OneRun one_{*store_};
};

TEST_F(QueryTest, CellsSayWhetherTheyAreNumbers) {
  const auto result = store_->query("SELECT 1 AS a, 2.5 AS b, 'x' AS c, NULL AS d, '7' AS e");
  EXPECT_EQ(result.columns, (std::vector<std::string>{"a", "b", "c", "d", "e"}));
  EXPECT_EQ(result.rows.at(0), (std::vector<std::optional<std::string>>{"1", "2.5", "x", {}, "7"}));
  EXPECT_EQ(result.numeric.at(0), (std::vector<bool>{true, true, false, false, false}));
}

TEST_F(QueryTest, AnEmptyResultKeepsItsColumns) {
  const auto result = store_->query("SELECT label FROM results WHERE label = 'none'");
  EXPECT_EQ(result.columns, std::vector<std::string>{"label"});
  EXPECT_TRUE(result.rows.empty());
}

TEST_F(QueryTest, NothingThatWritesIsRun) {
  for (const char* sql :
       {"DELETE FROM runs", "INSERT INTO runs VALUES ('k','c','s','f','m',0)",
        "UPDATE experiments SET name = 'x'", "DROP TABLE items", "CREATE TABLE t (x)",
        "CREATE TEMP TABLE t (x)", "PRAGMA user_version = 9", "PRAGMA journal_mode = DELETE",
        "PRAGMA writable_schema = 1", "ATTACH 'other.sqlite' AS other", "BEGIN IMMEDIATE", "VACUUM",
        "VACUUM INTO 'copy.sqlite'", "WITH x AS (SELECT 1) DELETE FROM runs",
        "DELETE FROM runs RETURNING key", "SELECT load_extension('x.so')", "REINDEX"})
    EXPECT_THAT(error(sql), HasSubstr("more than read")) << sql;
  EXPECT_EQ(cell(*store_, "SELECT count(*) FROM runs"), "1");
  EXPECT_EQ(cell(*store_, "PRAGMA user_version"), std::to_string(kSchemaVersion));
}

TEST_F(QueryTest, WhatReadsIsRun) {
  for (const char* sql :
       {"SELECT count(*) FROM runs", "WITH x AS (SELECT 1) SELECT * FROM x", "VALUES (1)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT max(i) "
        "FROM n",
        "PRAGMA table_info(results)", "SELECT name FROM pragma_table_info('runs')",
        "EXPLAIN QUERY PLAN SELECT * FROM results", "SELECT json_extract('{\"a\":1}', '$.a')",
        "SELECT value FROM json_each('[1]')", "SELECT 1; -- done", "SELECT 1;\n"})
    EXPECT_NO_THROW(store_->query(sql)) << sql;
}

TEST_F(QueryTest, TheStoreWritesAfterAQuery) {
  store_->query("SELECT 1");
  error("DELETE FROM runs");
  store_result(*store_, one_.run, one_.stage, {{"perplexity", 1, {}, 1}});
  EXPECT_TRUE(store_->stage_done(one_.stage.key));
}

TEST_F(QueryTest, AnUnknownColumnNamesTheNearest) {
  EXPECT_THAT(error("SELECT lable FROM results"),
              AllOf(HasSubstr("results.sqlite"), HasSubstr("no such column: lable"),
                    HasSubstr("did you mean \"label\"?")));
  EXPECT_THAT(error("SELECT r.metrc FROM results r"), HasSubstr("did you mean \"metric\"?"));
}

TEST_F(QueryTest, AnUnknownTableListsAll) {
  EXPECT_THAT(error("SELECT * FROM reslts"),
              AllOf(HasSubstr("no such table: reslts"), HasSubstr("experiments, "),
                    HasSubstr("did you mean \"results\"?")));
}

TEST_F(QueryTest, AWrongStatementSaysWhere) {
  EXPECT_THAT(error("SELEKT 1"), HasSubstr("near \"SELEKT\": syntax error"));
}

TEST_F(QueryTest, ManyStatementsAndNoneAreRefused) {
  EXPECT_THAT(error("SELECT 1; SELECT 2"), HasSubstr("more than one statement"));
  EXPECT_THAT(error("SELECT 1; DROP TABLE runs"), HasSubstr("more than one statement"));
  EXPECT_THAT(error(" ;"), HasSubstr("is empty"));
  EXPECT_THAT(error(""), HasSubstr("is empty"));
  EXPECT_THAT(error("-- nothing"), HasSubstr("is empty"));
}

TEST_F(QueryTest, ParametersAreBoundByName) {
  const auto result = store_->query("SELECT label FROM results WHERE experiment = :experiment",
                                    {{"unused", "x"}, {"experiment", "first"}});
  EXPECT_EQ(result.rows.at(0).at(0), "RTN");
  EXPECT_THAT(error("SELECT :missing"), HasSubstr(":missing has no value"));
  EXPECT_THAT(error("SELECT ?"), HasSubstr("has no value"));
}

TEST_F(QueryTest, AParameterIsNeverPartOfTheStatement) {
  const auto result =
      store_->query("SELECT count(*) FROM results WHERE label = :label", {{"label", "' OR 1 --"}});
  EXPECT_EQ(result.rows.at(0).at(0), "0");
}

}  // namespace
}  // namespace harness::test
