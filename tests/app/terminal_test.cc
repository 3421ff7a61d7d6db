#include "harness/app/terminal.h"

#include <gmock/gmock.h>

namespace harness {
namespace {

TEST(TerminalTest, LogLinesGoToStandardError) {
  testing::internal::CaptureStderr();
  terminal_log(LogLevel::info, "said");
  terminal_log(LogLevel::warning, "careful");
  terminal_error("bad");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "said\nwarning: careful\nharness: error: bad\n");
}

TEST(TerminalTest, ProgressIsSilentAtFirstWhereThereIsNoTerminal) {
  testing::internal::CaptureStderr();
  {
    TerminalProgress progress;
    for (int i = 0; i < 100; ++i) progress.update("work", i, 100);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace harness
