#pragma once

#include <cstdint>
#include <string>

namespace harness {

/// Which process on which machine. Process ids are used again, so `process` adds the boot, the pid
/// namespace (containers) and the tick at which the process started: "BOOT/NAMESPACE/TICK".
struct ProcessId {
  std::string host;
  std::int64_t pid = 0;
  std::string process;
};

enum class Liveness { alive, gone, unknown };

ProcessId this_process();

/// Whether a process still lives. unknown: it ran on another machine or in another pid namespace,
/// or the system does not tell.
Liveness liveness(const ProcessId& id);

}  // namespace harness
