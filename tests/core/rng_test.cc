#include "harness/core/rng.h"

#include <gmock/gmock.h>

#include <cmath>
#include <map>

namespace harness {
namespace {

// Known answers of the Random123 distribution (kat_vectors, philox4x32 10).
TEST(PhiloxTest, GivesThePublishedVectors) {
  using testing::ElementsAre;
  EXPECT_THAT(Philox::block({0, 0, 0, 0}, {0, 0}),
              ElementsAre(0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u));
  EXPECT_THAT(Philox::block({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
              ElementsAre(0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu));
  EXPECT_THAT(Philox::block({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
                            {0xa4093822u, 0x299f31d0u}),
              ElementsAre(0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u));
}

TEST(PhiloxTest, StreamsDependOnEveryPartOfTheirName) {
  std::map<std::uint64_t, int> first;
  ++first[Philox(0, "a", "b", 0).next_u64()];
  ++first[Philox(1, "a", "b", 0).next_u64()];
  ++first[Philox(0, "x", "b", 0).next_u64()];
  ++first[Philox(0, "a", "x", 0).next_u64()];
  ++first[Philox(0, "a", "b", 1).next_u64()];
  EXPECT_EQ(first.size(), 5u);
  EXPECT_EQ(Philox(7, "a", "b", 3).next_u64(), Philox(7, "a", "b", 3).next_u64());
}

TEST(PhiloxTest, BelowIsUniform) {
  Philox random(0, "test", "below");
  std::vector<int> counts(6);
  for (int i = 0; i < 60000; ++i) ++counts[random.below(6)];
  for (int count : counts) EXPECT_NEAR(count, 10000, 450);  // about 5 standard deviations
}

TEST(PhiloxTest, UniformAndNormalHaveTheirMoments) {
  Philox random(0, "test", "moments");
  const int n = 100000;
  double uniform = 0, mean = 0, square = 0;
  for (int i = 0; i < n; ++i) {
    double u = random.uniform(), z = random.normal();
    ASSERT_TRUE(u >= 0 && u < 1);
    uniform += u / n;
    mean += z / n;
    square += z * z / n;
  }
  EXPECT_NEAR(uniform, 0.5, 5 / std::sqrt(12.0 * n));
  EXPECT_NEAR(mean, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(square, 1, 5 * std::sqrt(2.0 / n));
}

}  // namespace
}  // namespace harness
