#include "harness/core/hub.h"

#include <gmock/gmock.h>

#include "harness/core/paths.h"
#include "tests/support/support.h"

namespace harness {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::ScopedVariable;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const std::string kCommit(40, 'a'), kOther(40, 'b');

/// The hub library's variables, all unset but those that a test sets.
class HubFolders : public testing::Test {
 protected:
  ScopedVariable hub_{"HF_HUB_CACHE", ""}, legacy_{"HUGGINGFACE_HUB_CACHE", ""},
      hugging_face_{"HF_HOME", ""}, xdg_{"XDG_CACHE_HOME", ""}, datasets_{"HF_DATASETS_CACHE", ""},
      home_{"HOME", "/me"};
};

TEST_F(HubFolders, FollowTheHubLibrary) {
  EXPECT_EQ(hub_cache_folder(), "/me/.cache/huggingface/hub");
  EXPECT_EQ(datasets_cache_folder(), "/me/.cache/huggingface/datasets");
  const ScopedVariable xdg("XDG_CACHE_HOME", "/xdg");
  EXPECT_EQ(hub_cache_folder(), "/xdg/huggingface/hub");
  EXPECT_EQ(datasets_cache_folder(), "/xdg/huggingface/datasets");
  const ScopedVariable home("HF_HOME", "~/hf");
  EXPECT_EQ(hub_cache_folder(), "/me/hf/hub");
  EXPECT_EQ(datasets_cache_folder(), "/me/hf/datasets");
  const ScopedVariable legacy("HUGGINGFACE_HUB_CACHE", "/old");
  EXPECT_EQ(hub_cache_folder(), "/old");
  const ScopedVariable hub("HF_HUB_CACHE", "$HOME/${HF_HOME}/$NOT_SET_ANYWHERE/hub");
  EXPECT_EQ(hub_cache_folder(), "/me/~/hf/$NOT_SET_ANYWHERE/hub");
  const ScopedVariable datasets("HF_DATASETS_CACHE", "/data");
  EXPECT_EQ(datasets_cache_folder(), "/data");
}

TEST(HubRepositoryNames, AreTheHubs) {
  EXPECT_EQ(HubRepository::parse("org/name")->revision, "main");
  EXPECT_EQ(HubRepository::parse("org/name@v1.0")->revision, "v1.0");
  EXPECT_EQ(HubRepository::parse("org/name@refs/pr/3")->revision, "refs/pr/3");
  EXPECT_EQ(HubRepository::parse("meta-llama/Llama-3.2_1B")->name, "meta-llama/Llama-3.2_1B");
  for (const char* wrong : {"name", "a/b/c", "../x", "x/..", "./x", "org/.name", "org/na me",
                            "org--x/name", "org/name.gguf", "org/name@", "org/name@../x",
                            "org/name@/etc", "~/x", "/x", "x/", "org/name@a b", "C:/x"})
    EXPECT_FALSE(HubRepository::parse(wrong)) << wrong;
}

TEST(HubRepositoryNames, AreFetchedWithOneCommand) {
  EXPECT_EQ(HubRepository::parse("org/name")->download_command(), "hf download org/name");
  EXPECT_EQ(HubRepository::parse("org/name@v1")->download_command(),
            "hf download org/name --revision v1");
  const HubRepository dataset{.name = "org/name", .kind = "datasets"};
  EXPECT_EQ(dataset.download_command(), "hf download org/name --repo-type dataset");
}

/// A hub cache with a repository org/name.
class HubCache : public testing::Test {
 protected:
  fs::path repository() const { return folder_ / "models--org--name"; }
  void write(const std::string& file, const std::string& text = "x") {
    fs::create_directories((repository() / file).parent_path());
    test::write_file(repository() / file, text);
  }
  static fs::path snapshot(const std::string& reference) {
    return hub_snapshot(*HubRepository::parse(reference));
  }
  static std::string error(const std::string& reference) {
    return error_of([&] { find_model(reference); });
  }
  test::TemporaryFolder folder_;
  ScopedVariable hub_{"HF_HUB_CACHE", folder_.path().string()};
};

TEST_F(HubCache, RevisionsAreBranchesTagsAndCommits) {
  write("snapshots/" + kCommit + "/config.json");
  EXPECT_EQ(snapshot("org/name"), repository() / "snapshots" / kCommit) << "the only one";
  write("snapshots/" + kOther + "/config.json");
  EXPECT_THAT(error("org/name"), AllOf(HasSubstr("2 snapshots"), HasSubstr("refs/main")));
  write("refs/main", kOther + "\n");
  write("refs/refs/pr/3", kCommit);
  EXPECT_EQ(find_model("org/name"), repository() / "snapshots" / kOther);
  EXPECT_EQ(find_model("org/name@refs/pr/3"), repository() / "snapshots" / kCommit);
  EXPECT_EQ(find_model("org/name@" + kCommit), repository() / "snapshots" / kCommit);
  EXPECT_THAT(error("org/name@v9"),
              AllOf(HasSubstr("revision v9"), HasSubstr((repository() / "refs/v9").string()),
                    HasSubstr("main, refs/pr/3"), HasSubstr("hf download org/name --revision v9")));
}

TEST_F(HubCache, ARepositoryThatIsNotThereNamesPlacesAndCommand) {
  EXPECT_THAT(error("org/other"), AllOf(HasSubstr((fs::current_path() / "org/other").string()),
                                        HasSubstr((folder_ / "models--org--other").string()),
                                        HasSubstr("`hf download org/other`")));
}

TEST_F(HubCache, ADownloadThatWasRefusedIsNamed) {
  write("refs/main", kCommit);
  write(".no_exist/" + kCommit + "/model.safetensors", "");
  EXPECT_THAT(error("org/name"),
              AllOf(HasSubstr("gated"), HasSubstr(kCommit), HasSubstr("hf auth login"),
                    HasSubstr("hf download org/name")));
}

TEST_F(HubCache, AReferenceThatIsNoCommitIsNotFollowed) {
  write("refs/main", "../../../etc");
  write("snapshots/" + kCommit + "/config.json");
  write("snapshots/" + kOther + "/config.json");
  EXPECT_THAT(error("org/name"), HasSubstr("no refs/main that names one"));
}

TEST_F(HubCache, WhatADownloadLeftUndoneIsSeen) {
  const fs::path place = repository() / "snapshots" / kCommit;
  write("refs/main", kCommit);
  write("blobs/1");
  write("blobs/2.abc.incomplete", std::string(1000, 'x'));
  fs::create_directories(place);
  fs::create_symlink("../../blobs/1", place / "config.json");
  HubSnapshot found = *inspect_hub_snapshot(place);
  EXPECT_EQ(found.repository.name, "org/name");
  EXPECT_EQ(found.repository.revision, "main");
  EXPECT_THAT(found.files, ElementsAre("config.json"));
  EXPECT_THAT(found.state(), AllOf(HasSubstr("broke off"), HasSubstr("1.0 kB")));
  EXPECT_THAT(found.remedy(), HasSubstr("`hf download org/name`"));
  fs::create_symlink("../../blobs/3", place / "model.safetensors");
  fs::remove(repository() / "blobs/2.abc.incomplete");
  found = *inspect_hub_snapshot(place);
  EXPECT_THAT(found.broken, ElementsAre("model.safetensors"));
  EXPECT_THAT(found.state(), HasSubstr("without content: model.safetensors"));
}

TEST_F(HubCache, AGatedRepositoryShowsItsSmallFiles) {
  for (const char* name : {"README.md", ".gitattributes", "config.json"})
    write("snapshots/" + kCommit + "/" + name);
  HubSnapshot found = *inspect_hub_snapshot(repository() / "snapshots" / kCommit);
  EXPECT_THAT(found.state(), HasSubstr("gated"));
  EXPECT_THAT(found.remedy(), HasSubstr("hf auth login"));
  write("snapshots/" + kCommit + "/model.safetensors");
  found = *inspect_hub_snapshot(repository() / "snapshots" / kCommit);
  EXPECT_EQ(found.state(), "");
}

TEST_F(HubCache, OtherFoldersAreNoSnapshots) {
  EXPECT_FALSE(inspect_hub_snapshot(folder_.path()));
  EXPECT_FALSE(inspect_hub_snapshot(folder_ / "snapshots/x"));
}

}  // namespace
}  // namespace harness
