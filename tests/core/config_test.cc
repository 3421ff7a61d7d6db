#include "harness/core/config.h"

#include <gmock/gmock.h>

namespace harness {
namespace {

using testing::HasSubstr;

struct Inner {
  double rate = 0.5;
  template <class V>
  void visit(V&& v) {
    v("rate", rate, Field{.doc = "a rate", .min = 0, .max = 1});
  }
};

struct Config {
  std::int64_t window = 2048;
  std::optional<std::int64_t> limit;
  std::string mode = "fast";
  std::vector<Inner> inners;
  bool flag = false;
  template <class V>
  void visit(V&& v) {
    v("window", window, Field{.doc = "tokens", .min = 2});
    v("limit", limit, Field{.doc = "windows", .min = 1});
    v("mode", mode, Field{.doc = "which", .choices = {"fast", "slow"}});
    v("inners", inners, Field{.doc = "more"});
    v("flag", flag, Field{.doc = "yes or no"});
  }
};

std::vector<std::string> problems_of(const std::string& toml, Config* out = nullptr) {
  Problems problems;
  Config config;
  read_config(parse_toml(toml, "f.toml"), "thing", problems, config);
  if (out) *out = config;
  return problems.texts();
}

TEST(ConfigTest, ReadsWhatIsGivenAndKeepsDefaults) {
  Config config;
  EXPECT_TRUE(problems_of("limit = 3\ninners = [{}, { rate = 1 }]\n", &config).empty());
  EXPECT_EQ(config.window, 2048);
  EXPECT_EQ(config.limit, 3);
  EXPECT_EQ(config.inners[0].rate, 0.5);
  EXPECT_EQ(config.inners[1].rate, 1.0);
}

TEST(ConfigTest, UnknownKeyNamesFileLineAndTheNearest) {
  auto problems = problems_of("flag = true\nwindw = 3\n");
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_THAT(problems[0], HasSubstr("f.toml:2: unknown key \"windw\" of thing"));
  EXPECT_THAT(problems[0], HasSubstr("did you mean \"window\"?"));
}

TEST(ConfigTest, ReportsEveryProblemAtOnce) {
  auto problems =
      problems_of("window = 1\nmode = 'fsat'\nflag = 'x'\ninners = [{ rate = 2 }]\nlimit = 0.5\n");
  ASSERT_EQ(problems.size(), 5u);
  EXPECT_THAT(problems[0], HasSubstr("window is 1; expected at least 2"));
  EXPECT_THAT(problems[1], HasSubstr("limit is the number 0.5; expected integer"));
  EXPECT_THAT(problems[2], HasSubstr("did you mean \"fast\"?"));
  EXPECT_THAT(problems[3], HasSubstr("rate is 2; expected 0 to 1"));
  EXPECT_THAT(problems[4], HasSubstr("flag is the string"));
}

TEST(ConfigTest, CanonicalTextHoldsTheDefaults) {
  Config config;
  EXPECT_EQ(canonical_text(to_value(config)),
            R"({"flag":false,"inners":[],"limit":null,"mode":"fast","window":2048})");
}

TEST(ConfigTest, DescribesEveryField) {
  auto fields = describe_config<Config>();
  ASSERT_EQ(fields.size(), 5u);
  EXPECT_EQ(fields[0].name, "window");
  EXPECT_EQ(fields[0].default_text, "2048");
  EXPECT_EQ(fields[1].default_text, "");
  EXPECT_EQ(fields[2].type, "fast | slow");
  EXPECT_EQ(fields[3].type, "list of table");
}

}  // namespace
}  // namespace harness
