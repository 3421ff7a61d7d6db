#include "harness/core/log.h"

#include <atomic>
#include <mutex>

#include "harness/core/error.h"

namespace harness {
namespace {

std::mutex sink_mutex;
LogSink sink;  // guarded by sink_mutex
std::atomic<bool> interrupt_requested{false};

void log(LogLevel level, std::string_view text) {
  std::lock_guard lock(sink_mutex);
  if (sink) sink(level, text);
}

class NoProgress : public Progress {
 public:
  void update(std::string_view, double, double) override {}
};

}  // namespace

void set_log_sink(LogSink new_sink) {
  std::lock_guard lock(sink_mutex);
  sink = std::move(new_sink);
}
void log_info(std::string_view text) { log(LogLevel::info, text); }
void log_warning(std::string_view text) { log(LogLevel::warning, text); }

Progress& no_progress() {
  static NoProgress instance;
  return instance;
}

void request_interrupt() { interrupt_requested.store(true); }
void check_interrupted() {
  if (interrupt_requested.load()) throw Interrupted();
}

}  // namespace harness
