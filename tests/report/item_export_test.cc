#include "harness/report/item_export.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "harness/data/arrow_table.h"
#include "harness/data/csv.h"
#include "harness/data/json_value.h"
#include "tests/store/example_store.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ItemExportTest : public testing::Test {
 protected:
  void SetUp() override {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    store_result(*store_, one_.run, one_.stage, {},
                 {{"q1", 0, 0.1, "c", R"({"choice":2,"margin":-0.25})"},
                  {"q\"2\", it", 1, 1.0 / 3, "", ""},
                  {"q1", 2, nan, "c", R"({"text":"a\nb"})"}});
    // Another run of the experiment, whose eval failed; and another experiment.
    RunRow failing = example_run(one_.experiment, "failing", 1);
    const StageRow stage = example_stage("failing");
    store_->put_run(failing);
    store_->put_stage(stage);
    store_->link(failing.key, stage.key, 0);
    store_result(*store_, failing, stage, {}, {}, failed("no"));
    const OneRun other(*store_, "other");
    store_result(*store_, other.run, other.stage, {}, {{"elsewhere", 0, 1, "", ""}});
  }
  std::filesystem::path write(ItemFormat format) {
    const std::filesystem::path file = folder_ / "items";
    EXPECT_EQ(export_items(*store_, "first", {}, format, file), 3);
    return file;
  }
  TemporaryFolder folder_;
  std::unique_ptr<ResultStore> store_ = ResultStore::open(folder_ / "results.sqlite");
  OneRun one_{*store_};
};

TEST_F(ItemExportTest, ParquetHasEveryColumnWithItsType) {
  const std::vector<Value> rows = read_table_rows(write(ItemFormat::parquet));
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].as_table().size(), 18u);
  EXPECT_EQ(*rows[0].find("experiment"), Value("first"));
  EXPECT_EQ(*rows[0].find("label"), Value("RTN"));
  EXPECT_EQ(*rows[0].find("seed"), Value(0));
  EXPECT_EQ(*rows[0].find("id"), Value("q1"));
  EXPECT_EQ(*rows[0].find("score"), Value(0.1));
  EXPECT_EQ(*rows[1].find("id"), Value("q\"2\", it"));
  EXPECT_EQ(*rows[1].find("score"), Value(1.0 / 3));
  EXPECT_TRUE(rows[2].find("score")->is_null());
  EXPECT_EQ(*rows[2].find("status"), Value("nan"));
  EXPECT_EQ(*rows[2].find("repeat"), Value(1));
  EXPECT_EQ(*rows[2].find("stage_key"), Value(one_.stage.key));
  EXPECT_EQ(*rows[0].find("detail"), Value(R"({"choice":2,"margin":-0.25})"));
}

TEST_F(ItemExportTest, LinesOfJsonHaveTheSameRows) {
  const std::vector<Value> expected = read_table_rows(write(ItemFormat::parquet));
  const std::string text = read_file(write(ItemFormat::jsonl));
  std::size_t row = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line); ++row) {
    const Value found = parse_json_value(line, "a line");
    for (const auto& [name, value] : expected.at(row).as_table())
      EXPECT_EQ(*found.find(name),
                name == "detail" ? parse_json_value(value.as_string(), "detail") : value)
          << name;
  }
  EXPECT_EQ(row, 3u);
}

TEST_F(ItemExportTest, RunsAndEvalsAreChosenByName) {
  StageRow second = example_stage("second");
  second.name = "skill";
  second.protocol = "skill/1";
  store_->put_stage(second);
  store_->link(one_.run.key, second.key, 1);
  store_result(*store_, one_.run, second, {}, {{"q3", 0, 1, "", ""}});
  auto count = [&](const std::string& run, const std::string& eval) {
    return export_items(*store_, "first", {run, eval}, ItemFormat::csv, folder_ / "items.csv");
  };
  EXPECT_EQ(count("", ""), 4);
  EXPECT_EQ(count("RTN", ""), 4);
  EXPECT_EQ(count(one_.run.key.substr(0, 12), second.protocol), 1);
  EXPECT_EQ(count("", second.name), 1);
  EXPECT_THAT(error_of([&] { count("rtn", second.name); }),
              AllOf(HasSubstr("no eval that succeeded of run \"rtn\""), HasSubstr("RTN"),
                    HasSubstr(second.protocol)));
  EXPECT_THAT(error_of([&] { count(one_.run.key.substr(0, 3), ""); }), HasSubstr("no eval"));
}

TEST_F(ItemExportTest, CsvHasTheSameRows) {
  const std::vector<Value> expected = read_table_rows(write(ItemFormat::parquet));
  const std::vector<Value> rows = read_csv_rows(write(ItemFormat::csv));
  ASSERT_EQ(rows.size(), expected.size());
  for (std::size_t row = 0; row < expected.size(); ++row)
    for (const auto& [name, value] : expected[row].as_table())
      EXPECT_EQ(rows[row].find(name)->as_string(), value.is_null()     ? ""
                                                   : value.is_string() ? value.as_string()
                                                                       : canonical_text(value));
}

TEST_F(ItemExportTest, WhatCannotBeIsSaid) {
  EXPECT_THAT(error_of([&] { export_items(*store_, "frist", {}, ItemFormat::csv, folder_ / "x"); }),
              HasSubstr("first"));
  for (const ItemFormat format : {ItemFormat::csv, ItemFormat::jsonl, ItemFormat::parquet})
    EXPECT_THAT(error_of([&] { export_items(*store_, "first", {}, format, folder_ / "no/x"); }),
                HasSubstr("cannot be written"));
  EXPECT_THAT(error_of([] { item_format("parqet"); }), HasSubstr("did you mean \"parquet\"?"));
}

}  // namespace
}  // namespace harness::test
