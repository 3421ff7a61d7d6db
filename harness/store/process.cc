#include "harness/store/process.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace harness {
namespace {
namespace fs = std::filesystem;

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::string boot() {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::string id;
  in >> id;
  return id;
}

std::string pid_namespace() {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/ns/pid", ignored).string();
}

/// Field 22 of /proc/PID/stat (proc(5)): clock ticks from boot to the start; empty when there is no
/// such process.
std::string start_tick(std::int64_t pid) {
  std::ifstream in(fmt::format("/proc/{}/stat", pid));
  std::string line;
  std::getline(in, line);
  // Field 2, the command in brackets, may hold spaces and brackets.
  const std::size_t command_end = line.rfind(')');
  if (command_end == std::string::npos) return "";
  std::istringstream rest(line.substr(command_end + 1));
  std::string field;
  for (int number = 3; number <= 22; ++number) rest >> field;
  return field;
}

}  // namespace

ProcessId this_process() {
  const std::int64_t pid = getpid();
  return {host_name(), pid, fmt::format("{}/{}/{}", boot(), pid_namespace(), start_tick(pid))};
}

Liveness liveness(const ProcessId& id) {
  std::istringstream parts(id.process);
  std::string its_boot, its_namespace, its_tick;
  std::getline(parts, its_boot, '/');
  std::getline(parts, its_namespace, '/');
  std::getline(parts, its_tick, '/');
  if (id.host != host_name() || its_boot.empty() || boot().empty()) return Liveness::unknown;
  if (its_boot != boot()) return Liveness::gone;
  if (its_namespace != pid_namespace()) return Liveness::unknown;
  return start_tick(id.pid) == its_tick ? Liveness::alive : Liveness::gone;
}

}  // namespace harness
