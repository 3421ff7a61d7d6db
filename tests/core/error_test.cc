#include "harness/core/error.h"

#include <gmock/gmock.h>

#include "tests/support/support.h"

namespace harness {
namespace {

TEST(ErrorTest, SaysWhereFoundExpectedAndRemedyInThatOrder) {
  EXPECT_STREQ(Error("a.toml:3", "seed is \"x\"", "integer", "write a number").what(),
               "a.toml:3: seed is \"x\"; expected integer; write a number");
  EXPECT_STREQ(Error("", "nothing there").what(), "nothing there");
}

TEST(ProblemsTest, ThrowsAllDistinctTextsAtOnce) {
  Problems problems;
  problems.throw_if_any();
  for (int i = 0; i < 2; ++i) problems.add(Error("", "first"));
  problems.collect([] { throw Error("", "second"); });
  std::string text = test::error_of([&] { problems.throw_if_any(); });
  EXPECT_EQ(text, "2 errors:\n  first\n  second");
}

TEST(ProblemsTest, LetsWhatIsNoErrorThrough) {
  Problems problems;
  EXPECT_THROW(problems.collect([] { throw Interrupted(); }), Interrupted);
}

}  // namespace
}  // namespace harness
