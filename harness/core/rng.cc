#include "harness/core/rng.h"

#include <fmt/format.h>

#include <cassert>
#include <cmath>
#include <numbers>

#include "harness/core/hash.h"

namespace harness {

std::array<std::uint32_t, 4> Philox::block(std::array<std::uint32_t, 4> counter,
                                           std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter[0];
    std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

Philox::Philox(std::uint64_t seed, std::string_view stage, std::string_view purpose,
               std::uint64_t index) {
  // The names and the index go through SHA-256 into key and upper counter half: streams of
  // different names never overlap in practice, and the lower half counts 2^64 blocks.
  std::string digest = sha256(fmt::format("{}\n{}\n{}\n{}", seed, stage, purpose, index));
  auto word = [&](int i) {
    return static_cast<std::uint32_t>(std::stoul(digest.substr(8 * i, 8), nullptr, 16));
  };
  key_ = {word(0), word(1)};
  counter_ = {0, 0, word(2), word(3)};
}

std::uint32_t Philox::next_u32() {
  if (left_ == 0) {
    buffered_ = block(counter_, key_);
    if (++counter_[0] == 0) ++counter_[1];
    left_ = 4;
  }
  return buffered_[4 - left_--];
}

std::uint64_t Philox::next_u64() {
  std::uint64_t low = next_u32();
  return low | (std::uint64_t{next_u32()} << 32);
}

std::uint64_t Philox::below(std::uint64_t n) {
  assert(n > 0);
  // Values under 2^64 mod n would make some results more likely: draw again.
  std::uint64_t rejected = (0 - n) % n;
  std::uint64_t drawn;
  do {
    drawn = next_u64();
  } while (drawn < rejected);
  return drawn % n;
}

double Philox::uniform() { return static_cast<double>(next_u64() >> 11) * 0x1.0p-53; }

double Philox::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_normal_;
  }
  double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  double angle = 2.0 * std::numbers::pi * uniform();
  spare_normal_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

}  // namespace harness
