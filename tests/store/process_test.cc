#include "harness/store/process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace harness::test {
namespace {

TEST(ProcessTest, ThisProcessIsAlive) {
  EXPECT_EQ(this_process().pid, getpid());
  EXPECT_EQ(liveness(this_process()), Liveness::alive);
}

TEST(ProcessTest, AProcessThatEndedIsGone) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const std::string process = this_process().process;
    _exit(write(ends[1], process.data(), process.size()) < 0);
  }
  close(ends[1]);
  char buffer[256];
  const ssize_t n = read(ends[0], buffer, sizeof buffer);
  ASSERT_GT(n, 0);
  close(ends[0]);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(
      liveness({this_process().host, child, std::string(buffer, static_cast<std::size_t>(n))}),
      Liveness::gone);
}

TEST(ProcessTest, AProcessIdThatIsUsedAgainIsNotTheSameProcess) {
  ProcessId id = this_process();
  id.process += "1";  // another start
  EXPECT_EQ(liveness(id), Liveness::gone);
}

TEST(ProcessTest, AProcessBeforeTheLastBootIsGone) {
  ProcessId id = this_process();
  id.process.replace(0, id.process.find('/'), "another-boot");
  EXPECT_EQ(liveness(id), Liveness::gone);
}

TEST(ProcessTest, OfAnotherMachineNothingIsKnown) {
  ProcessId id = this_process();
  id.host += "-else";
  EXPECT_EQ(liveness(id), Liveness::unknown);
}

TEST(ProcessTest, OfAnotherContainerNothingIsKnown) {
  ProcessId id = this_process();
  const std::size_t first = id.process.find('/'), second = id.process.find('/', first + 1);
  id.process.replace(first + 1, second - first - 1, "pid:[1]");
  EXPECT_EQ(liveness(id), Liveness::unknown);
}

}  // namespace
}  // namespace harness::test
