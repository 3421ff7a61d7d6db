#include "harness/core/hash.h"

#include <gmock/gmock.h>

#include "tests/support/support.h"

namespace harness {
namespace {

// FIPS 180-4 examples.
TEST(HashTest, GivesThePublishedDigests) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(HashTest, DoesNotDependOnThePieces) {
  Sha256 hash;
  for (char c : std::string("abc")) hash.update(&c, 1);
  EXPECT_EQ(hash.hex(), sha256("abc"));
}

TEST(HashTest, ReadsFilesAndNamesThoseItCannotRead) {
  test::TemporaryFolder folder;
  test::write_file(folder / "f", "abc");
  EXPECT_EQ(sha256_file(folder / "f"), sha256("abc"));
  EXPECT_THAT(test::error_of([&] { sha256_file(folder / "missing"); }),
              testing::HasSubstr("missing"));
  EXPECT_THAT(test::error_of([&] { sha256_file(folder.path()); }),
              testing::HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace harness
