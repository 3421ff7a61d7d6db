#include "harness/core/provenance.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

#include "harness/core/version.h"

namespace harness {
namespace {

/// The value after "KEY...:" in a file of /proc, or empty text.
std::string proc_value(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(key, 0) != 0) continue;
    std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::size_t start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

}  // namespace

std::vector<std::string> cpu_features() {
  std::istringstream flags(proc_value("/proc/cpuinfo", "flags"));
  std::vector<std::string> features;
  for (std::string flag; flags >> flag;)
    if (flag.rfind("avx", 0) == 0 || flag.rfind("amx", 0) == 0 || flag == "fma" || flag == "f16c")
      features.push_back(flag);
  return features;
}

std::string cpu_model() { return proc_value("/proc/cpuinfo", "model name"); }

std::int64_t memory_bytes() {
  return static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
}

int cpu_cores() { return static_cast<int>(std::thread::hardware_concurrency()); }

Provenance machine_provenance() {
  utsname system{};
  uname(&system);
  std::string features;
  for (const std::string& feature : cpu_features())
    features += (features.empty() ? "" : " ") + feature;
  return {
      {"harness.version", kVersion},
      {"harness.commit", kCommit},
      {"harness.dirty", kCommitDirty ? "true" : "false"},
      {"compiler", __VERSION__},
      {"fmt.version",
       fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
      {"cpu.model", cpu_model()},
      {"cpu.cores", std::to_string(cpu_cores())},
      {"cpu.features", features},
      {"memory.bytes", std::to_string(memory_bytes())},
      {"system", std::string(system.sysname) + " " + system.release + " " + system.machine},
  };
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * t.tv_usec; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::int64_t peak_memory_bytes() {
  std::istringstream text(proc_value("/proc/self/status", "VmHWM"));
  std::int64_t kilobytes = 0;
  if (text >> kilobytes) return kilobytes * 1024;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

void reset_peak_memory() {
  // Linux sets VmHWM back to the present size on "5"; where it is refused the peak stays that of
  // the process.
  std::ofstream("/proc/self/clear_refs") << "5";
}

}  // namespace harness
