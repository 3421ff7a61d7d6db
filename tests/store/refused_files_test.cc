#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/store/example_store.h"
#include "tests/support/support.h"

// Files and places that the store refuses: a clear error, and nothing changed.

namespace harness::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

void execute(const fs::path& path, const std::string& sql) {
  sqlite3* database = nullptr;
  sqlite3_open(path.c_str(), &database);
  char* message = nullptr;
  EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &message), SQLITE_OK) << message;
  sqlite3_close(database);
}

/// Runs `body` in a child, as another user where this one is root (whom no permission stops), and
/// returns the text that it returns.
std::string in_child(bool drop_root, const std::function<std::string()>& body) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) throw std::runtime_error("no pipe");
  const pid_t child = fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    if (drop_root && geteuid() == 0 && (setgid(kNobody) != 0 || setuid(kNobody) != 0)) _exit(2);
    std::string text;
    try {
      text = body();
    } catch (const std::exception& error) {
      text = error.what();
    }
    _exit(write(pipe_ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0
                                                                                             : 1);
  }
  close(pipe_ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(pipe_ends[0], buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(n));
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the child ended with " << status;
  return text;
}

class RefusedFilesTest : public ::testing::Test {
 protected:
  /// Opening the file for writing and for reading gives one error, and the file is as it was.
  std::string refused_untouched() {
    const std::string before = read_file(path_);
    const std::string error = error_of([&] { ResultStore::open(path_); });
    EXPECT_EQ(error_of([&] { ResultStore::open_read_only(path_); }), error);
    EXPECT_EQ(read_file(path_), before);
    for (const char* suffix : {"-wal", "-journal"})
      EXPECT_FALSE(fs::exists(path_.string() + suffix)) << suffix;
    return error;
  }

  TemporaryFolder folder_;
  fs::path path_ = folder_ / "results.sqlite";
};

TEST_F(RefusedFilesTest, ANewerSchemaNamesBothVersions) {
  { OneRun one(*ResultStore::open(path_)); }
  execute(path_, "PRAGMA user_version = 7");
  EXPECT_THAT(refused_untouched(),
              AllOf(HasSubstr("results.sqlite"), HasSubstr("schema 7"),
                    HasSubstr("schema " + std::to_string(kSchemaVersion)), HasSubstr("update")));
}

TEST_F(RefusedFilesTest, AFileThatIsNoDatabase) {
  write_file(path_, "label,perplexity\nRTN,23.1\n" + std::string(5000, 'x'));
  EXPECT_THAT(refused_untouched(), AllOf(HasSubstr("results.sqlite"),
                                         HasSubstr("no SQLite database"), HasSubstr("--db")));
}

TEST_F(RefusedFilesTest, AShortTextFile) {
  write_file(path_, "hello");
  EXPECT_THAT(refused_untouched(), HasSubstr("no SQLite database"));
}

TEST_F(RefusedFilesTest, ADatabaseOfAnotherProgram) {
  execute(path_, "CREATE TABLE bookmarks (url TEXT); PRAGMA user_version = 1");
  EXPECT_THAT(refused_untouched(), HasSubstr("another program"));
}

TEST_F(RefusedFilesTest, ATruncatedDatabase) {
  { OneRun one(*ResultStore::open(path_)); }
  fs::resize_file(path_, fs::file_size(path_) / 2);
  // SQLite may find the damage when it opens the file or when it reads the missing page.
  EXPECT_THAT(error_of([&] { ResultStore::open_read_only(path_)->query("SELECT * FROM results"); }),
              AllOf(HasSubstr("results.sqlite"), HasSubstr("damaged")));
}

TEST_F(RefusedFilesTest, AFolder) {
  EXPECT_THAT(error_of([&] { ResultStore::open(folder_.path()); }),
              AllOf(HasSubstr("is a folder"), HasSubstr("results.sqlite")));
}

TEST_F(RefusedFilesTest, NoFileToRead) {
  EXPECT_THAT(error_of([&] { ResultStore::open_read_only(path_); }), HasSubstr("no such file"));
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(RefusedFilesTest, AnEmptyFileIsANewDatabaseToWriteAndNoneToRead) {
  write_file(path_, "");
  EXPECT_THAT(error_of([&] { ResultStore::open_read_only(path_); }), HasSubstr("is empty"));
  OneRun one(*ResultStore::open(path_));
  EXPECT_EQ(cell(*ResultStore::open_read_only(path_), "SELECT count(*) FROM runs"), "1");
}

TEST_F(RefusedFilesTest, AFileUnderAFileHasNoFolder) {
  write_file(folder_ / "plain", "x");
  EXPECT_THAT(error_of([&] { ResultStore::open(folder_ / "plain/results.sqlite"); }),
              AllOf(HasSubstr("plain"), HasSubstr("--db")));
}

TEST_F(RefusedFilesTest, AReadOnlyFolderCannotTakeANewDatabase) {
  chmod(folder_.path().c_str(), 0555);
  const std::string error = in_child(true, [&] {
    ResultStore::open(path_);
    return std::string("opened");
  });
  EXPECT_THAT(error,
              AllOf(HasSubstr("results.sqlite"), HasSubstr("cannot be opened"), HasSubstr("--db")));
  chmod(folder_.path().c_str(), 0755);
}

TEST_F(RefusedFilesTest, AReadOnlyDatabaseIsReadButNotWritten) {
  { OneRun one(*ResultStore::open(path_)); }
  chmod(path_.c_str(), 0444);
  chmod(folder_.path().c_str(), 0555);
  EXPECT_EQ(
      in_child(
          true,
          [&] { return cell(*ResultStore::open_read_only(path_), "SELECT label FROM results"); }),
      "RTN");
  EXPECT_THAT(in_child(true,
                       [&] {
                         ResultStore::open(path_);
                         return std::string("opened");
                       }),
              AllOf(HasSubstr("results.sqlite"), HasSubstr("cannot be")));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1);
  chmod(folder_.path().c_str(), 0755);
}

/// Stores results until it cannot, and says what happened.
std::string fill(ResultStore& store, const OneRun& one) {
  for (int i = 0; i < 2000; ++i) {
    std::vector<ItemRow> items;
    for (int n = 0; n < 20; ++n)
      items.push_back(
          {"item" + std::to_string(n), n, 1.0, "", "{\"x\":\"" + std::string(1000, 'x') + "\"}"});
    store_result(store, one.run, one.stage, {{"perplexity", 1.0 * i, {}, 20}}, items);
  }
  return "never full";
}

/// What was stored before the disk was full is whole: every succeeded attempt has all its items.
void expect_whole(const ResultStore& store) {
  EXPECT_EQ(cell(store, "PRAGMA integrity_check"), "ok");
  EXPECT_GT(std::stoi(cell(store, "SELECT count(*) FROM attempts WHERE status = 'succeeded'")), 0);
  EXPECT_EQ(cell(store, "SELECT count(*) FROM items"),
            cell(store, "SELECT 20 * count(*) FROM attempts WHERE status = 'succeeded'"));
}

TEST_F(RefusedFilesTest, AFileSizeLimitKeepsWhatWasStoredBefore) {
  const std::string error = in_child(false, [&]() -> std::string {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{2'000'000, 2'000'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    auto store = ResultStore::open(path_);
    OneRun one(*store);
    return fill(*store, one);
  });
  EXPECT_THAT(error, AllOf(HasSubstr("results.sqlite"), HasSubstr("writing failed"),
                           HasSubstr("file size limit"), HasSubstr("still there")));
  expect_whole(*ResultStore::open(path_));
}

TEST_F(RefusedFilesTest, AFullDiskKeepsWhatWasStoredBefore) {
  // In a mount namespace of its own, where the system gives one.
  const std::string said = in_child(false, [&]() -> std::string {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=3m") != 0)
      return "no mount";
    std::string error;
    {
      auto store = ResultStore::open(path_);
      OneRun one(*store);
      error = error_of([&] { fill(*store, one); });
      if (cell(*store, "PRAGMA integrity_check") != "ok") return "damaged";
      if (cell(*store, "SELECT count(*) FROM items") !=
          cell(*store, "SELECT 20 * count(*) FROM attempts WHERE status = 'succeeded'"))
        return "half a result";
    }
    if (std::stoi(cell(*ResultStore::open_read_only(path_),
                       "SELECT count(*) FROM attempts WHERE status = 'succeeded'")) == 0)
      return "lost";
    return error;
  });
  if (said == "no mount") GTEST_SKIP() << "needs leave to mount (root)";
  EXPECT_THAT(said, AllOf(HasSubstr("results.sqlite"), HasSubstr("no space is left"),
                          HasSubstr("still there"), HasSubstr("free some space")));
}

}  // namespace
}  // namespace harness::test
