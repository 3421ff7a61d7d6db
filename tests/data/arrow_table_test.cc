#include "harness/data/arrow_table.h"

#include <gmock/gmock.h>

#include "tests/data/golden_data.h"

namespace harness {
namespace {

using test::error_of;
using test::golden;
using testing::AllOf;
using testing::HasSubstr;

class StringColumns : public testing::TestWithParam<const char*> {};

// pyarrow wrote the same columns in each container, in several batches or row groups.
TEST_P(StringColumns, AreWhatPyarrowWrote) {
  for (const auto& [column, words] : test::golden_data().at("columns").items())
    EXPECT_EQ(read_string_column(golden(GetParam()), column), words.get<std::vector<std::string>>())
        << column;
}

TEST_P(StringColumns, MissingColumnNamesThoseThereAre) {
  EXPECT_THAT(error_of([] { read_string_column(golden(GetParam()), "strin"); }),
              AllOf(HasSubstr(GetParam()), HasSubstr("no column \"strin\""),
                    HasSubstr("nested, number, string"), HasSubstr("did you mean \"string\"?")));
}

TEST_P(StringColumns, ColumnOfAnotherTypeIsNamed) {
  EXPECT_THAT(error_of([] { read_string_column(golden(GetParam()), "number"); }),
              AllOf(HasSubstr("column \"number\" is of type int64"),
                    HasSubstr("expected a column of strings")));
}

TEST_P(StringColumns, TruncatedFileIsAnError) {
  const std::string whole = test::read_file(golden(GetParam()));
  test::TemporaryFolder folder;
  for (const std::size_t size : {whole.size() / 2, std::size_t{9}}) {
    test::write_file(folder / "cut", whole.substr(0, size));
    EXPECT_THAT(error_of([&] { read_string_column(folder / "cut", "string"); }),
                AllOf(HasSubstr((folder / "cut").string()), HasSubstr("truncated")))
        << size << " bytes";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Containers, StringColumns,
    testing::Values("data/columns.arrow", "data/columns.arrows", "data/columns.parquet"),
    [](const auto& container) {
      return std::string(std::filesystem::path(container.param).extension().string().substr(1));
    });

TEST(StringColumn, FileOfAnotherKindIsAnError) {
  test::TemporaryFolder folder;
  test::write_file(folder / "text.parquet", "not a table at all");
  EXPECT_THAT(error_of([&] { read_string_column(folder / "text.parquet", "text"); }),
              AllOf(HasSubstr("text.parquet: unknown first bytes"),
                    HasSubstr("expected an Arrow file, an Arrow stream or a Parquet file")));
}

TEST(StringColumn, EmptyFileMissingFileAndFolderAreErrors) {
  test::TemporaryFolder folder;
  test::write_file(folder / "empty.arrow", "");
  EXPECT_THAT(error_of([&] { read_string_column(folder / "empty.arrow", "text"); }),
              HasSubstr("empty.arrow: an empty file"));
  EXPECT_THAT(error_of([&] { read_string_column(folder / "none.arrow", "text"); }),
              HasSubstr("none.arrow: cannot be read"));
  EXPECT_THAT(error_of([&] { read_string_column(folder.path(), "text"); }), HasSubstr("a folder"));
}

}  // namespace
}  // namespace harness
