#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace harness {

/// Philox4x32-10 (Salmon et al. 2011), the one generator of the harness. A stream is keyed by
/// (seed, stage, purpose, index), so that draws do not depend on what was drawn elsewhere, on
/// threads or on the order of work. No std:: distribution is used: those differ between standard
/// libraries.
class Philox {
 public:
  Philox(std::uint64_t seed, std::string_view stage, std::string_view purpose,
         std::uint64_t index = 0);

  std::uint32_t next_u32();
  std::uint64_t next_u64();
  /// Uniform in [0, n), without bias; n > 0.
  std::uint64_t below(std::uint64_t n);
  /// Uniform in [0, 1), 53 bits.
  double uniform();
  /// Standard normal (Box-Muller, both values used).
  double normal();

  /// The bare block function, for tests against the published vectors.
  static std::array<std::uint32_t, 4> block(std::array<std::uint32_t, 4> counter,
                                            std::array<std::uint32_t, 2> key);

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> buffered_;
  int left_ = 0;
  double spare_normal_ = 0;
  bool has_spare_ = false;
};

}  // namespace harness
