#include "harness/core/registry.h"

#include <gmock/gmock.h>

#include "tests/support/support.h"

namespace harness {
namespace {

TEST(RegistryTest, UnknownNameListsTheNearOnes) {
  Registry<int> registry("method");
  registry.add("rtn", 1);
  registry.add("gptq", 2);
  EXPECT_EQ(registry.get("gptq"), 2);
  std::string text = test::error_of([&] { registry.get("gtpq", "f.toml:4"); });
  EXPECT_EQ(text,
            "f.toml:4: unknown method \"gtpq\"; expected one of gptq, rtn; did you mean \"gptq\"?");
}

TEST(RegistryTest, DuplicateNameIsAnError) {
  Registry<int> registry("method");
  registry.add("rtn", 1);
  EXPECT_THAT(test::error_of([&] { registry.add("rtn", 2); }),
              testing::HasSubstr("a second method"));
  EXPECT_EQ(registry.get("rtn"), 1);
}

}  // namespace
}  // namespace harness
