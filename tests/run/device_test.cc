#include "harness/run/device.h"

#include <gmock/gmock.h>

#include "tests/support/support.h"

namespace harness {
namespace {

using testing::HasSubstr;

TEST(DeviceTest, AutoIsTheCpuWhereThereIsNoGpu) {
  EXPECT_TRUE(resolve_device("cpu", "x").is_cpu());
  EXPECT_EQ(resolve_device("auto", "x").is_cpu(), cuda_devices().empty());
}

TEST(DeviceTest, CudaWithoutAGpuIsAnErrorAndNoFallBack) {
  if (!cuda_devices().empty()) {
    EXPECT_TRUE(resolve_device("cuda:0", "x").is_cuda());
  } else {
    EXPECT_THAT(
        test::error_of([] { resolve_device("cuda", "run \"a\""); }),
        testing::AllOf(HasSubstr("run \"a\""), HasSubstr("cuda"), HasSubstr("harness doctor")));
  }
  EXPECT_THAT(test::error_of([] { resolve_device("cuda:99", "x"); }), HasSubstr("cuda:99"));
}

TEST(DeviceTest, UnknownNamesAreErrors) {
  for (const char* name : {"gpu", "cuda:", "cuda:x", ""})
    EXPECT_THAT(test::error_of([&] { resolve_device(name, "x"); }), HasSubstr("auto, cpu, cuda"))
        << name;
}

}  // namespace
}  // namespace harness
