#include "harness/kernels/machine_rates.h"

#include <gmock/gmock.h>

#include "tests/support/support.h"

namespace harness {
namespace {

TEST(MachineRates, MedianIsOfFiveAtLeastAfterOneThatDoesNotCount) {
  double calls = 0;
  EXPECT_EQ(median_rate([&] { return ++calls; }, 0), 4);  // of 2 to 6
  EXPECT_EQ(calls, 6);
}

TEST(MachineRates, EveryProbeFindsARate) {
  EXPECT_GT(copy_probe(1 << 20)(), 0);
  for (at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kChar})
    EXPECT_GT(matrix_probe(dtype, 64)(), 0) << dtype;
}

TEST(MachineRates, OtherDtypesAreErrors) {
  EXPECT_THAT(test::error_of([] { matrix_probe(at::kLong); }),
              testing::AllOf(testing::HasSubstr("Long"), testing::HasSubstr("int8")));
}

}  // namespace
}  // namespace harness
