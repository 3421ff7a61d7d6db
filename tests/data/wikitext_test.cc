#include "harness/data/wikitext.h"

#include <gmock/gmock.h>

#include "tests/data/golden_data.h"

namespace harness {
namespace {

using test::error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(WikitextRows, AreThoseOfTheHuggingFaceRule) {
  EXPECT_EQ(wikitext_rows(test::read_file(test::golden("data/wikitext_small.raw"))),
            test::golden_data().at("wikitext_small").at("rows").get<std::vector<std::string>>());
}

TEST(WikitextRows, LineEndsOfOtherSystemsAreNewlines) {
  EXPECT_THAT(wikitext_rows(" a \r\n \r\nb\rc"), ElementsAre(" a \n", "", "b\n", "c"));
}

TEST(WikitextSplit, IsToldFromTheRawFilesNames) {
  EXPECT_EQ(wikitext2_split("some/folder/wiki.test.raw"), "test");
  EXPECT_EQ(wikitext2_split("wikitext2.train.raw"), "train");
  EXPECT_EQ(wikitext2_split("wiki.test.tokens"), std::nullopt);
}

// The training split of WikiText-103 has the same file name.
TEST(ReadWikitext2, AnotherNumberOfRowsIsAnError) {
  test::TemporaryFolder folder;
  test::write_file(folder / "wiki.train.raw", " a \n b \n");
  EXPECT_THAT(
      error_of([&] { read_wikitext2(folder / "wiki.train.raw", "train"); }),
      AllOf(HasSubstr((folder / "wiki.train.raw").string()), HasSubstr("2 rows"),
            HasSubstr("the 36718 rows of WikiText-2's train split"), HasSubstr("rename this one")));
}

}  // namespace
}  // namespace harness
