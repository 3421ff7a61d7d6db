#include "harness/core/value.h"

#include <gmock/gmock.h>

#include "tests/support/support.h"

namespace harness {
namespace {

using testing::HasSubstr;

TEST(ValueTest, KeepsOrderAndPlaces) {
  Value value = parse_toml("b = 1\na = [true, 2.5]\n[t]\nx = 'y'\n", "f.toml");
  EXPECT_EQ(value.as_table()[0].first, "b");
  EXPECT_EQ(value.as_table()[1].first, "a");
  EXPECT_EQ(value.find("a")->where(), "f.toml:2");
  EXPECT_EQ(value.find("t")->find("x")->where(), "f.toml:4");
  EXPECT_EQ(value.find("t")->find("x")->as_string(), "y");
}

TEST(ValueTest, NamesFileAndLineOfWhatIsNoToml) {
  std::string text = test::error_of([] { parse_toml("a = 1\nb = = 2\n", "f.toml"); });
  EXPECT_THAT(text, HasSubstr("f.toml:2"));
  EXPECT_THAT(test::error_of([] { parse_toml("d = 2024-01-01\n", "f.toml"); }), HasSubstr("date"));
  EXPECT_THAT(test::error_of([] { parse_toml_file("no/such.toml"); }), HasSubstr("no/such.toml"));
}

TEST(ValueTest, CanonicalTextDependsOnContentOnly) {
  Value a = parse_toml("x = 1\ny = 0.5\n", "a"),
        b = parse_toml("# comment\ny=0.50\n\nx = 1\n", "b");
  EXPECT_EQ(canonical_text(a), canonical_text(b));
  EXPECT_EQ(canonical_text(a), R"({"x":1,"y":0.5})");
  EXPECT_NE(canonical_text(a), canonical_text(parse_toml("x = 1\ny = 0.25\n", "c")));
}

TEST(ValueTest, WritesTomlThatReadsBack) {
  const char* text =
      "name = \"a \\\"b\\\"\\n\\u0001\"\nlist = [1, 2.0, \"x\"]\n\"odd key\" = { a = { b = true } "
      "}\n"
      "empty = {}\n[[run]]\nlabel = \"r\"\nmethods = [{ name = \"rtn\" }]\n[[run]]\nlabel = "
      "\"s\"\n";
  Value value = parse_toml(text, "f");
  EXPECT_EQ(parse_toml(to_toml(value), "g"), value);
}

TEST(ValueTest, CommandLineValuesFallBackToStrings) {
  EXPECT_EQ(parse_toml_value("3", "w").as_int(), 3);
  EXPECT_EQ(parse_toml_value("w4a16", "w").as_string(), "w4a16");
  EXPECT_EQ(parse_toml_value("[1, 2]", "w").as_array()[1].where(), "w");
}

TEST(ValueTest, SetReplacesAndAdds) {
  Value value = parse_toml("a = 1\n", "f");
  value.set("a", 2);
  value.set("b", "x");
  EXPECT_EQ(value, parse_toml("a = 2\nb = 'x'\n", "g"));
}

}  // namespace
}  // namespace harness
