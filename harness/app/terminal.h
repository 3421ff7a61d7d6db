#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "harness/core/log.h"

namespace harness {

/// Log lines on standard error, clear of the progress line.
void terminal_log(LogLevel level, std::string_view text);
/// "harness: error: ..." on standard error.
void terminal_error(std::string_view text);

/// Progress on standard error with the time left: one line that is rewritten on a terminal,
/// elsewhere a plain line every 20 seconds.
class TerminalProgress : public Progress {
 public:
  TerminalProgress();
  ~TerminalProgress() override;
  void update(std::string_view what, double done, double total) override;

 private:
  using Clock = std::chrono::steady_clock;
  bool terminal_;
  std::string what_;
  double first_done_ = 0;  // at start_: work that was done before does not count for the rate
  Clock::time_point start_, shown_;
};

}  // namespace harness
