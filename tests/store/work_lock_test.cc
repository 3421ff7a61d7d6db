#include "harness/store/work_lock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/core/hash.h"
#include "tests/support/support.h"

namespace harness {
namespace {

class WorkLockTest : public testing::Test {
 protected:
  std::unique_ptr<WorkLock> claim(const std::string& what) {
    return WorkLock::claim(folder_ / "results.sqlite", sha256(what));
  }
  test::TemporaryFolder folder_;
};

TEST_F(WorkLockTest, OneHolderAtATimeForEachKey) {
  const auto first = claim("a");
  EXPECT_TRUE(first);
  EXPECT_FALSE(claim("a"));
  EXPECT_TRUE(claim("b"));
}

TEST_F(WorkLockTest, IsFreeAgainWithItsObject) {
  claim("a");
  EXPECT_TRUE(claim("a"));
}

TEST_F(WorkLockTest, OfAnotherDatabaseIsAnother) {
  const auto first = claim("a");
  EXPECT_TRUE(WorkLock::claim(folder_ / "other.sqlite", sha256("a")));
}

TEST_F(WorkLockTest, DiesWithItsProcess) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto held = claim("a");
    const char yes = held ? 'y' : 'n';
    if (write(ready[1], &yes, 1) == 1) pause();
    _exit(0);
  }
  char said = 0;
  ASSERT_EQ(read(ready[0], &said, 1), 1);
  EXPECT_EQ(said, 'y');
  EXPECT_FALSE(claim("a"));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(claim("a"));
}

TEST_F(WorkLockTest, APlaceThatCannotBeWrittenIsNamed) {
  EXPECT_NE(test::error_of([&] {
              WorkLock::claim(folder_ / "absent/results.sqlite", sha256("a"));
            }).find("results.sqlite-lock: cannot be made or locked"),
            std::string::npos);
}

}  // namespace
}  // namespace harness
