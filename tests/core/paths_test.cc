#include "harness/core/paths.h"

#include <gmock/gmock.h>

#include "tests/support/support.h"

namespace harness {
namespace {

using testing::HasSubstr;

TEST(PathsTest, CacheFolderFollowsTheVariables) {
  test::ScopedVariable xdg("XDG_CACHE_HOME", "/somewhere");
  {
    test::ScopedVariable own("HARNESS_CACHE", "/mine");
    EXPECT_EQ(cache_folder(), "/mine");
  }
  test::ScopedVariable none("HARNESS_CACHE", "");
  EXPECT_EQ(cache_folder(), "/somewhere/aaq-harness");
}

TEST(PathsTest, DataFilesAreLookedForInTheDataFolderFirst) {
  test::TemporaryFolder folder;
  test::write_file(folder / "a.txt", "x");
  EXPECT_EQ(find_data_file("a.txt", folder.path().string()), folder / "a.txt");
  EXPECT_EQ(find_data_file((folder / "a.txt").string(), ""), folder / "a.txt");
  std::string text = test::error_of([&] { find_data_file("b.txt", folder.path().string()); });
  EXPECT_THAT(text, HasSubstr((folder / "b.txt").string()));
}

TEST(PathsTest, ModelsAreFoundInTheCacheAndTheHomeFolder) {
  test::TemporaryFolder folder;
  test::write_file(folder / "m.gguf", "x");
  test::ScopedVariable own("HARNESS_CACHE", folder.path().string());
  test::ScopedVariable home("HOME", folder.path().string());
  EXPECT_EQ(find_model("cache:m.gguf"), folder / "m.gguf");
  EXPECT_EQ(find_model("~/m.gguf"), folder / "m.gguf");
  EXPECT_EQ(find_model((folder / "m.gguf").string()), folder / "m.gguf");
  EXPECT_THAT(test::error_of([] { find_model("cache:n.gguf"); }), HasSubstr("setup.sh"));
}

}  // namespace
}  // namespace harness
