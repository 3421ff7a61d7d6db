#include "harness/data/csv.h"

#include <gmock/gmock.h>

#include "tests/support/support.h"

namespace harness {
namespace {

using test::error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

/// The columns of a file with that text.
std::vector<std::vector<std::string>> read(const std::string& text,
                                           const std::vector<std::string>& columns) {
  const test::TemporaryFolder folder;
  test::write_file(folder / "a.csv", text);
  return read_csv(folder / "a.csv", columns);
}

TEST(Csv, QuotedFieldsHoldCommasQuotesAndLineBreaks) {
  EXPECT_THAT(read("id,text,kind\n1,\"a, \"\"b\"\"\nc\",x\n2,plain,\n", {"kind", "text"}),
              ElementsAre(ElementsAre("x", "a, \"b\"\nc"), ElementsAre("", "plain")));
}

TEST(Csv, TextStaysText) {
  EXPECT_THAT(read("a\r\n007\r\nnull\r\nNaN\r\n", {"a"}),
              ElementsAre(ElementsAre("007"), ElementsAre("null"), ElementsAre("NaN")));
}

TEST(Csv, HeaderMayLackNames) {
  EXPECT_THAT(read(",Goal\n0,x\n", {"Goal"}), ElementsAre(ElementsAre("x")));
}

TEST(Csv, MissingColumnNamesThoseThereAre) {
  EXPECT_THAT(
      error_of([] { read("goal,target\nx,y\n", {"gaol"}); }),
      AllOf(HasSubstr("a.csv"), HasSubstr("no column \"gaol\""), HasSubstr("goal, target")));
}

TEST(Csv, RowOfAnotherLengthIsNamed) {
  EXPECT_THAT(error_of([] { read("a,b\n1,2\n1,2,3\n", {"a"}); }),
              AllOf(HasSubstr("a.csv"), HasSubstr("Row #3"), HasSubstr("got 3")));
}

TEST(Csv, OpenQuoteIsAnError) {
  EXPECT_THAT(error_of([] { read("a,b\n1,\"2\n3,4\n", {"a"}); }),
              AllOf(HasSubstr("a.csv"), HasSubstr("not closed")));
}

}  // namespace
}  // namespace harness
