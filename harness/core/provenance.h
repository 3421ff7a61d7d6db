#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace harness {

/// What a number was made with and on: pairs of key and value, stored with every attempt.
using Provenance = std::vector<std::pair<std::string, std::string>>;

/// What core can tell: version, commit and dirty mark, compiler, host's processor, cores, memory,
/// system. Libraries, devices and data are added by those who use them. No host name, user or path.
Provenance machine_provenance();

/// The processor's features that matter to speed and bits ("avx2", "avx512f", "amx_bf16" ...), as
/// the system lists them.
std::vector<std::string> cpu_features();
std::string cpu_model();
std::int64_t memory_bytes();
int cpu_cores();

/// CPU seconds (user and system) of this process so far.
double cpu_seconds();
/// Peak resident memory of this process since it started, or since reset_peak_memory() where the
/// system can reset it.
std::int64_t peak_memory_bytes();
void reset_peak_memory();

}  // namespace harness
