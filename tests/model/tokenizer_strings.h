#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace harness::test {

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014).
class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}
  std::uint64_t below(std::uint64_t bound);

 private:
  std::uint64_t state_;
};

/// The strings of tests/golden/tokenizer/strings.py, by the same arithmetic.
const std::vector<std::string>& tokenizer_strings();
/// Every Unicode scalar value among letters, spaces and digits: sweep() of make_goldens.py.
std::vector<std::string> unicode_sweep();

}  // namespace harness::test
