#include "harness/data/sampling.h"

#include <gmock/gmock.h>

#include <set>

#include "tests/support/support.h"

namespace harness {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::vector<std::int64_t> sample(std::int64_t tokens, std::int64_t samples, std::int64_t length,
                                 std::uint64_t seed) {
  Philox stream(seed, "calibration", "windows");
  return sample_windows(tokens, samples, length, stream);
}

TEST(SampleWindows, EveryPlaceWhereAWindowFitsIsReachedAndNoOther) {
  const auto offsets = sample(10, 500, 7, 0);
  EXPECT_EQ(offsets.size(), 500u);
  EXPECT_EQ(std::set<std::int64_t>(offsets.begin(), offsets.end()),
            (std::set<std::int64_t>{0, 1, 2, 3}));
}

TEST(SampleWindows, PlacesAreEquallyLikely) {
  std::vector<int> hits(4);
  for (const std::int64_t offset : sample(10, 40000, 7, 1)) ++hits[offset];
  for (const int count : hits) EXPECT_NEAR(count, 10000, 5 * 87);  // five standard deviations
}

TEST(SampleWindows, SeedDecides) {
  EXPECT_EQ(sample(100000, 128, 2048, 3), sample(100000, 128, 2048, 3));
  EXPECT_NE(sample(100000, 128, 2048, 3), sample(100000, 128, 2048, 4));
}

TEST(SampleWindows, TextOfOneWindowHasOnePlace) {
  EXPECT_EQ(sample(8, 3, 8, 0), (std::vector<std::int64_t>{0, 0, 0}));
}

TEST(SampleWindows, ShorterTextIsAnError) {
  EXPECT_THAT(test::error_of([] { sample(2047, 128, 2048, 0); }),
              AllOf(HasSubstr("a text of 2047 tokens"), HasSubstr("2048 tokens"),
                    HasSubstr("use a longer text")));
}

}  // namespace
}  // namespace harness
