#include "harness/core/provenance.h"

#include <gmock/gmock.h>

#include <map>
#include <vector>

namespace harness {
namespace {

TEST(ProvenanceTest, SaysWhatMadeANumber) {
  Provenance pairs = machine_provenance();
  std::map<std::string, std::string> found(pairs.begin(), pairs.end());
  EXPECT_EQ(found.size(), pairs.size());
  for (const char* key :
       {"harness.version", "harness.commit", "harness.dirty", "compiler", "fmt.version", "system"})
    EXPECT_NE(found[key], "") << key;
  EXPECT_GE(std::stoi(found["cpu.cores"]), 1);
}

TEST(ProvenanceTest, PeakMemorySeesAnAllocation) {
  reset_peak_memory();
  std::int64_t before = peak_memory_bytes();
  {
    std::vector<char> block(64 << 20, 1);
    ASSERT_EQ(block[12345], 1);
  }
  EXPECT_GE(peak_memory_bytes() - before, 60 << 20);
}

TEST(ProvenanceTest, CpuTimeGrowsWithWork) {
  double before = cpu_seconds();
  volatile double sum = 0;
  while (cpu_seconds() < before + 0.02)
    for (int i = 0; i < 1000; ++i) sum = sum + i;
  EXPECT_GT(cpu_seconds(), before);
}

}  // namespace
}  // namespace harness
