#include "harness/core/paths.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <optional>

#include "tests/support/support.h"

namespace harness {
namespace {

using testing::HasSubstr;

/// Sets a variable of the environment for one test.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    setenv(name, value.c_str(), 1);
  }
  ~ScopedVariable() { old_ ? setenv(name_, old_->c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> old_;
};

TEST(PathsTest, CacheFolderFollowsTheVariables) {
  ScopedVariable xdg("XDG_CACHE_HOME", "/somewhere");
  {
    ScopedVariable own("HARNESS_CACHE", "/mine");
    EXPECT_EQ(cache_folder(), "/mine");
  }
  ScopedVariable none("HARNESS_CACHE", "");
  EXPECT_EQ(cache_folder(), "/somewhere/aaq-harness");
}

TEST(PathsTest, HubCacheFollowsTheHubLibrary) {
  ScopedVariable home("HF_HOME", "/hf");
  {
    ScopedVariable hub("HF_HUB_CACHE", "/hub");
    EXPECT_EQ(hub_cache_folder(), "/hub");
  }
  ScopedVariable none("HF_HUB_CACHE", "");
  EXPECT_EQ(hub_cache_folder(), "/hf/hub");
}

TEST(PathsTest, SnapshotIsThatOfRefsMain) {
  test::TemporaryFolder folder;
  ScopedVariable hub("HF_HUB_CACHE", folder.path().string());
  auto model = folder.path() / "models--org--name";
  std::filesystem::create_directories(model / "snapshots/one");
  EXPECT_EQ(hub_snapshot("models", "org/name"), model / "snapshots/one");
  std::filesystem::create_directories(model / "snapshots/two");
  EXPECT_THAT(test::error_of([] { hub_snapshot("models", "org/name"); }), HasSubstr("2 snapshots"));
  std::filesystem::create_directories(model / "refs");
  test::write_file(model / "refs/main", "two\n");
  EXPECT_EQ(hub_snapshot("models", "org/name"), model / "snapshots/two");
  std::string text = test::error_of([] { hub_snapshot("models", "org/other"); });
  EXPECT_THAT(text, HasSubstr("models--org--other"));
  EXPECT_THAT(text, HasSubstr("hf download org/other"));
}

TEST(PathsTest, DataFilesAreLookedForInTheDataFolderFirst) {
  test::TemporaryFolder folder;
  test::write_file(folder / "a.txt", "x");
  EXPECT_EQ(find_data_file("a.txt", folder.path().string()), folder / "a.txt");
  EXPECT_EQ(find_data_file((folder / "a.txt").string(), ""), folder / "a.txt");
  std::string text = test::error_of([&] { find_data_file("b.txt", folder.path().string()); });
  EXPECT_THAT(text, HasSubstr((folder / "b.txt").string()));
}

TEST(PathsTest, LocalPathKnowsTheCacheAndTheHomeFolder) {
  ScopedVariable own("HARNESS_CACHE", "/mine");
  ScopedVariable home("HOME", "/people/me");
  EXPECT_EQ(local_path("cache:a/b.gguf"), "/mine/a/b.gguf");
  EXPECT_EQ(local_path("~/models/x"), "/people/me/models/x");
  EXPECT_EQ(local_path("models/x"), "models/x");
}

}  // namespace
}  // namespace harness
