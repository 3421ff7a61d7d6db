#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "tests/store/example_store.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

/// Runs `body` in a child of its own; its exit status is 0 where body throws nothing.
template <class Body>
pid_t in_child(Body&& body) {
  const pid_t child = fork();
  if (child != 0) return child;
  try {
    body();
    _exit(0);
  } catch (const std::exception& error) {
    fprintf(stderr, "child: %s\n", error.what());
    _exit(1);
  }
}

int exit_status(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(SeveralProcessesTest, TwoProcessesOnOneDatabaseLoseNothing) {
  TemporaryFolder folder;
  constexpr int kResults = 200;
  // Neither finds a database: both try to make it.
  auto write = [&](const std::string& name) {
    auto store = ResultStore::open(folder / "results.sqlite");
    OneRun one(*store, name);
    for (int i = 0; i < kResults; ++i) {
      const StageRow stage = example_stage(name + std::to_string(i));
      store->put_stage(stage);
      store->link(one.run.key, stage.key, i + 1);
      store_result(*store, one.run, stage, {{"perplexity", i + 0.5, 0.1, 2}},
                   {{"w0", 0, 1.0 * i, "", ""}, {"w1", 1, 2.0 * i, "", ""}});
    }
  };
  const pid_t first = in_child([&] { write("first"); });
  const pid_t second = in_child([&] { write("second"); });
  EXPECT_EQ(exit_status(first), 0);
  EXPECT_EQ(exit_status(second), 0);

  auto store = ResultStore::open_read_only(folder / "results.sqlite");
  for (const std::string name : {"first", "second"}) {
    const auto results = store->query(
        "SELECT value FROM results WHERE experiment = :name AND metric IS NOT NULL ORDER BY value",
        {{"name", name}});
    ASSERT_EQ(results.rows.size(), kResults);
    for (int i = 0; i < kResults; ++i)
      EXPECT_EQ(std::stod(*results.rows[static_cast<std::size_t>(i)][0]), i + 0.5);
  }
  EXPECT_EQ(cell(*store, "SELECT count(*) FROM items"), std::to_string(4 * kResults));
  EXPECT_EQ(cell(*store, "SELECT count(*) FROM provenance"), std::to_string(4 * kResults));
  EXPECT_EQ(cell(*store, "PRAGMA integrity_check"), "ok");
}

TEST(SeveralProcessesTest, AnAttemptOfAKilledProcessIsRetired) {
  TemporaryFolder folder;
  auto store = ResultStore::open(folder / "results.sqlite");
  OneRun one(*store);
  const pid_t child = in_child([&] {
    auto own = ResultStore::open(folder / "results.sqlite");
    own->begin_attempt(one.run.key, one.stage.key, {});
    raise(SIGKILL);
  });
  exit_status(child);
  EXPECT_EQ(cell(*store, "SELECT status FROM attempts"), "running");
  EXPECT_EQ(store->retire_abandoned(), 1);
  EXPECT_EQ(cell(*store, "SELECT status FROM attempts"), "interrupted");
  EXPECT_EQ(cell(*store, "SELECT message FROM attempts"),
            "process " + std::to_string(child) + " ended without finishing it");
}

TEST(SeveralProcessesTest, AnAttemptOfALivingProcessIsLeftAlone) {
  TemporaryFolder folder;
  auto store = ResultStore::open(folder / "results.sqlite");
  OneRun one(*store);
  store->begin_attempt(one.run.key, one.stage.key, {});
  EXPECT_EQ(store->retire_abandoned(), 0);
  EXPECT_EQ(cell(*store, "SELECT status FROM attempts"), "running");
}

TEST(SeveralProcessesTest, AReaderSeesWhatIsStoredWhileAWriterIsOpen) {
  TemporaryFolder folder;
  auto writer = ResultStore::open(folder / "results.sqlite");
  OneRun one(*writer);
  const pid_t child = in_child([&] {
    auto reader = ResultStore::open_read_only(folder / "results.sqlite");
    if (cell(*reader, "SELECT count(*) FROM runs") != "1") throw Error("the run is not there");
  });
  EXPECT_EQ(exit_status(child), 0);
}

}  // namespace
}  // namespace harness::test
