#include "harness/data/file.h"

#include <gmock/gmock.h>

#include "tests/support/support.h"

namespace harness {
namespace {

using test::error_of;
using testing::AllOf;
using testing::HasSubstr;

TEST(Utf8, WellFormedTextOfEveryLengthPasses) {
  // U+0000, U+007F, U+0080, U+07FF, U+0800, U+D7FF, U+E000, U+FFFF, U+10000, U+10FFFF
  const std::string text(
      "\x00\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"
      "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
      26);
  EXPECT_EQ(find_invalid_utf8(text), std::nullopt);
}

TEST(Utf8, IllFormedBytesAreFoundWhereTheyStart) {
  for (const char* bytes : {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
                            "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
                            "\xc3", "\xe2\x82", "\xf0\x9f\x99", "\xc3(", "\xe2\x82("})
    EXPECT_EQ(find_invalid_utf8(std::string("é") + bytes), 2u) << testing::PrintToString(bytes);
}

TEST(TextFile, IsReadByteForByte) {
  test::TemporaryFolder folder;
  const std::string text("\xef\xbb\xbf one\r\ntwo \0 \n\n", 18);
  test::write_file(folder / "a.txt", text);
  EXPECT_EQ(read_text_file(folder / "a.txt"), text);
}

TEST(TextFile, InvalidUtf8NamesFileAndByte) {
  test::TemporaryFolder folder;
  test::write_file(folder / "latin1.txt", "caf\xe9 au lait");
  EXPECT_THAT(error_of([&] { read_text_file(folder / "latin1.txt"); }),
              AllOf(HasSubstr((folder / "latin1.txt").string()),
                    HasSubstr("invalid UTF-8 at byte 3"), HasSubstr("expected UTF-8 text")));
}

TEST(TextFile, EmptyMissingAndFolderAreErrors) {
  test::TemporaryFolder folder;
  test::write_file(folder / "empty.txt", "");
  EXPECT_THAT(error_of([&] { read_text_file(folder / "empty.txt"); }),
              HasSubstr("empty.txt: an empty file"));
  EXPECT_THAT(error_of([&] { read_text_file(folder / "none.txt"); }),
              HasSubstr("none.txt: cannot be read"));
  EXPECT_THAT(error_of([&] { read_text_file(folder.path()); }), HasSubstr("a folder"));
}

}  // namespace
}  // namespace harness
