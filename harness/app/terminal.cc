#include "harness/app/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>

#include "harness/core/text.h"

namespace harness {
namespace {

std::mutex output_mutex;
bool line_is_open = false;  // a progress line without its newline stands on the terminal

void clear_line() {
  if (!line_is_open) return;
  std::fputs("\r\033[K", stderr);
  line_is_open = false;
}

}  // namespace

void terminal_log(LogLevel level, std::string_view text) {
  std::lock_guard lock(output_mutex);
  clear_line();
  fmt::print(stderr, "{}{}\n", level == LogLevel::warning ? "warning: " : "", text);
}

void terminal_error(std::string_view text) {
  std::lock_guard lock(output_mutex);
  clear_line();
  fmt::print(stderr, "harness: error: {}\n", text);
}

TerminalProgress::TerminalProgress() : terminal_(isatty(STDERR_FILENO)) {}

TerminalProgress::~TerminalProgress() {
  std::lock_guard lock(output_mutex);
  clear_line();
}

void TerminalProgress::update(std::string_view what, double done, double total) {
  Clock::time_point now = Clock::now();
  if (what != what_ || done < first_done_) {
    what_ = what;
    first_done_ = done;
    start_ = shown_ = now;
    if (!terminal_) return;
  } else {
    auto interval = terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(20000);
    if (now - shown_ < interval) return;
    shown_ = now;
  }
  double elapsed = std::chrono::duration<double>(now - start_).count();
  std::string left;
  if (done > first_done_)
    left = fmt::format(", {} left", human_seconds(elapsed * (total - done) / (done - first_done_)));
  std::lock_guard lock(output_mutex);
  clear_line();
  fmt::print(stderr, "{}: {:.0f}/{:.0f}{}{}", what, done, total, left, terminal_ ? "" : "\n");
  std::fflush(stderr);
  line_is_open = terminal_;
}

}  // namespace harness
