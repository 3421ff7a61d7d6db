#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <thread>

#include "harness/core/rng.h"
#include "harness/model/chat.h"
#include "harness/store/result_store.h"
#include "tests/data/safety_files.h"
#include "tests/run/fixture.h"

// What becomes of an experiment when the program is killed, started twice, or gets no room: the
// program itself on tiny models, with every kind of stage. The database must in the end be the one
// of an undisturbed run.

namespace harness {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

/// All that a database says of results, but not of when and how often they were computed: times,
/// attempts and what was tried in vain. Every succeeded attempt counts: were two of a stage to
/// differ, both would be here.
std::vector<std::string> contents(const std::filesystem::path& database) {
  const char* const kAttempts =
      "SELECT DISTINCT a.stage_key, t.{} FROM {} t JOIN attempts a ON a.id = t.attempt "
      "WHERE a.status = 'succeeded' ORDER BY 1, 2, 3, 4, 5";
  std::vector<std::string> queries = {
      "SELECT key, name, toml, canonical FROM experiments ORDER BY key",
      "SELECT * FROM runs ORDER BY key",
      "SELECT experiment_key, position, run_key, label, model FROM experiment_runs ORDER BY 1, 2, "
      "3",
      "SELECT * FROM stages ORDER BY key",
      "SELECT * FROM run_stages ORDER BY 1, 2, 3",
      "SELECT * FROM answers ORDER BY 1",
      "SELECT * FROM verdicts ORDER BY 1, 2",
      // One result each: evals are not measured twice.
      "SELECT a.stage_key, count(*) FROM attempts a JOIN stages s ON s.key = a.stage_key "
      "WHERE a.status = 'succeeded' AND s.kind = 'eval' GROUP BY 1 ORDER BY 1",
      "SELECT DISTINCT stage_key FROM attempts WHERE status = 'succeeded' ORDER BY 1",
      "SELECT count(*) FROM attempts WHERE status = 'running'",
  };
  for (const auto& [columns, table] :
       {std::pair("name, t.position, t.value, t.status, t.standard_error, t.count", "metrics"),
        {"id, t.repeat, t.position, t.score, t.status, t.cluster, t.detail", "items"},
        {"series, t.step, t.value, t.status", "curves"},
        {"id, t.repeat, t.sample, t.answer, t.ending, t.tokens", "completions"},
        {"key, t.value, 0, 0", "provenance"}})
    queries.push_back(fmt::format(fmt::runtime(kAttempts), columns, table));
  std::vector<std::string> lines;
  const auto store = ResultStore::open_read_only(database);
  for (const std::string& query : queries) {
    lines.push_back(query);
    for (const auto& row : store->query(query).rows) {
      std::string line;
      for (const auto& cell : row) line += cell.value_or("NULL") + "|";
      lines.push_back(line);
    }
  }
  return lines;
}

/// The first line that differs, for messages.
std::string first_difference(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::size_t i = 0;
  while (i < std::min(a.size(), b.size()) && a[i] == b[i]) ++i;
  auto line = [&](const auto& of) { return i < of.size() ? of[i] : std::string("the end"); };
  return fmt::format("line {}: {}\ninstead of: {}", i, line(b), line(a));
}

/// A database and a cache of their own.
struct State {
  test::TemporaryFolder folder;
  std::filesystem::path database() const { return folder / "results.sqlite"; }
  std::string log() const { return test::read_file(folder / "log.txt"); }
};

class ResumeTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    inputs_ = new test::TemporaryFolder();
    const test::TemporaryFolder& folder = *inputs_;
    test::write_file(folder / "test.txt", test::some_text());
    test::write_file(folder / "train.txt", "Another text. " + test::some_text());
    test::write_quiz(folder.path());
    test::write_safety_files(folder.path(), 4);
    for (const auto& [name, seed] : {std::pair("aligned", 1u), {"base", 2u}}) {
      test::write_random_model(folder / name, test::random_config(), seed);
      test::write_file(folder / (std::string(name) + "/chat_template.jinja"), kWorldChatTemplate);
    }
    test::write_file(folder / "e.toml", kExperiment);
    undisturbed_ = new State();
    const auto start = Clock::now();
    ASSERT_EQ(run(*undisturbed_), 0) << undisturbed_->log();
    seconds_ = Seconds(Clock::now() - start).count();
    expected_ = new std::vector<std::string>(contents(undisturbed_->database()));
  }
  static void TearDownTestSuite() {
    delete expected_;
    delete undisturbed_;
    delete inputs_;
  }

  /// Starts `harness run e.toml`.
  /// @param file_limit bytes that a file may have; 0: any
  static pid_t start(const State& state, rlim_t file_limit = 0) {
    const pid_t child = fork();
    if (child != 0) return child;
    const int log = open((state.folder / "log.txt").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    if (file_limit > 0) {
      signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{file_limit, file_limit};
      setrlimit(RLIMIT_FSIZE, &limit);
    }
    setenv("HARNESS_CACHE", (state.folder / "cache").c_str(), 1);
    setenv("OMP_NUM_THREADS", "1", 1);
    if (chdir(inputs_->path().c_str()) == 0)
      execl(HARNESS_PROGRAM, "harness", "run", "e.toml", "--db", state.database().c_str(), nullptr);
    _exit(127);
  }
  /// @return the exit status; none: it was killed
  static std::optional<int> wait(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? std::optional(WEXITSTATUS(status)) : std::nullopt;
  }
  static std::optional<int> run(const State& state) { return wait(start(state)); }
  static std::optional<int> run_and_kill(const State& state, double after) {
    const pid_t child = start(state);
    std::this_thread::sleep_for(Seconds(after));
    kill(child, SIGKILL);
    return wait(child);
  }
  static void expect_undisturbed(const State& state) {
    const std::vector<std::string> found = contents(state.database());
    EXPECT_TRUE(found == *expected_) << first_difference(*expected_, found);
  }
  /// A number from the environment.
  static std::uint64_t setting(const char* name, std::uint64_t otherwise) {
    const char* said = std::getenv(name);
    return said ? std::stoull(said) : otherwise;
  }

  static constexpr const char* kExperiment = R"(
name = "resume"
model = "aligned"
base = "base"
dtype = "fp32"
device = "cpu"
data_dir = "."
batch_tokens = 128
calibration = { text = "train.txt", samples = 4, length = 32 }
evals = [
  { name = "perplexity", text = "test.txt", window = 64, limit = 4 },
  { name = "zeroshot", tasks = ["quiz"], task_files = ["quiz.toml"] },
  "safetybench", "flips",
  { name = "token_flips", text = "test.txt", window = 64, limit = 2, top_k = 20 },
  { name = "activations", text = "test.txt", window = 64, limit = 1 },
  { name = "advbench", max_new_tokens = 4 },
]
[[run]]
label = "as it is"
[[run]]
label = "RTN"
format = "w4a4kv4"
methods = ["rtn"]
[[run]]
label = "GPTQ"
format = "w4a4kv4"
methods = ["gptq"]
[[run]]
label = "OSTQuant"
format = "w4a4kv4"
methods = [{ name = "ostquant", steps = 8, batch = 2, top_k = 20 }, "gptq"]
[[run]]
label = "AAQ"
format = "w4a4kv4"
methods = [{ name = "aaq", steps = 8, batch = 2, top_k = 20, push_top_k = 10 }, "rtn"]
[[run]]
label = "trained here"
model = { pair = "world", role = "aligned", steps = 12 }
base = { pair = "world", role = "base", steps = 12 }
format = "w4a4kv4"
methods = ["rtn"]
calibration = { text = "world-calibrate", samples = 4, length = 32 }
evals = [{ name = "skill", limit = 12 }, { name = "perplexity", text = "world-test", window = 64, limit = 4 }, "flips"]
)";
  static inline test::TemporaryFolder* inputs_ = nullptr;
  static inline State* undisturbed_ = nullptr;
  static inline std::vector<std::string>* expected_ = nullptr;
  static inline double seconds_ = 0;  // that the undisturbed run took
};

// HARNESS_KILLS and HARNESS_KILL_SEED: more of them, and others (tests/app/kill_points.sh).
TEST_F(ResumeTest, KilledAtAnyInstantItEndsWithTheSameDatabase) {
  const std::uint64_t wanted = setting("HARNESS_KILLS", 30);
  Philox random(setting("HARNESS_KILL_SEED", 0), "test", "instants");
  std::uint64_t kills = 0, databases = 0;
  while (kills < wanted) {
    const State state;
    ++databases;
    std::optional<int> status;
    while (kills < wanted && !status) {
      status = run_and_kill(state, seconds_ * random.uniform());
      kills += !status;
    }
    if (!status) status = run(state);
    ASSERT_EQ(status, 0) << state.log();
    EXPECT_THAT(state.log(), Not(HasSubstr("failed")));
    expect_undisturbed(state);
  }
  fmt::print("{} kills, {} databases, {:.2f} s undisturbed\n", kills, databases, seconds_);
}

TEST_F(ResumeTest, WhatIsStoredIsNotDoneAgain) {
  const State state;
  ASSERT_EQ(run(state), 0);
  const auto attempts = [&] {
    return ResultStore::open_read_only(state.database())
        ->query("SELECT count(*) FROM attempts")
        .rows[0][0];
  };
  const auto before = attempts();
  ASSERT_EQ(run(state), 0);
  EXPECT_EQ(attempts(), before);
  expect_undisturbed(state);
}

TEST_F(ResumeTest, TwoProcessesShareTheRunsAndMeasureNothingTwice) {
  const State state;
  const pid_t first = start(state), second = start(state);
  EXPECT_EQ(wait(first), 0) << state.log();
  EXPECT_EQ(wait(second), 0) << state.log();
  expect_undisturbed(state);
}

TEST_F(ResumeTest, OneOfTwoProcessesIsKilledAndTheOtherDoesItsShare) {
  const State state;
  const pid_t first = start(state), second = start(state);
  std::this_thread::sleep_for(Seconds(0.7 * seconds_));
  kill(first, SIGKILL);
  wait(first);
  EXPECT_EQ(wait(second), 0) << state.log();
  ASSERT_EQ(run(state), 0);  // which sees that the dead one's attempt has no end
  expect_undisturbed(state);
}

TEST_F(ResumeTest, AFileThatIsEditedMeanwhileCountsFromTheNextTime) {
  const State state;
  const pid_t child = start(state);
  while (!std::filesystem::exists(state.database())) std::this_thread::sleep_for(Seconds(0.01));
  test::write_file(*inputs_ / "e.toml", "name = 'another'\nthis is no TOML");
  EXPECT_EQ(wait(child), 0) << state.log();
  EXPECT_EQ(run(state), 2);
  test::write_file(*inputs_ / "e.toml", kExperiment);
  expect_undisturbed(state);
}

TEST_F(ResumeTest, WithoutRoomInMidStageItSaysSoAndGoesOnLater) {
  const State state;
  const auto succeeded = [&] {
    return std::stoi(*ResultStore::open_read_only(state.database())
                          ->query("SELECT count(*) FROM attempts WHERE status = 'succeeded'")
                          .rows[0][0]);
  };
  // Every file ends at a limit, the database's log first, each time a little later.
  bool in_mid_stage = false;
  rlim_t limit = 500'000;
  std::optional<int> status = 2;
  for (; status == 2 && limit < 100'000'000; limit = limit * 5 / 4) {
    status = wait(start(state, limit));
    in_mid_stage = in_mid_stage || (status == 2 && succeeded() > 0);
  }
  EXPECT_EQ(status, 0) << state.log();
  EXPECT_TRUE(in_mid_stage) << limit;
  EXPECT_THAT(state.log(), AllOf(HasSubstr("writing failed"),
                                 HasSubstr("what was stored before is still there")));
  expect_undisturbed(state);
}

/// Turns one bit in the middle of a file.
void flip_bit(const std::filesystem::path& file) {
  std::string bytes = test::read_file(file);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  test::write_file(file, bytes);
}

TEST_F(ResumeTest, DamagedFilesOfTheCacheAreFoundAndMadeAnew) {
  State state;
  std::filesystem::copy(undisturbed_->folder / "cache", state.folder / "cache",
                        std::filesystem::copy_options::recursive);
  std::vector<std::string> damaged;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(state.folder / "cache")) {
    if (entry.path().extension() != ".safetensors") continue;
    if (damaged.size() % 2 == 0)
      flip_bit(entry.path());
    else
      std::filesystem::resize_file(entry.path(), entry.file_size() / 2);
    // Of a pair's model its folder is named.
    const bool of_pair = entry.path().filename() == "model.safetensors";
    damaged.push_back((of_pair ? entry.path().parent_path() : entry.path()).string());
  }
  EXPECT_GE(damaged.size(), 6u);  // transforms, targets, a pair's weights
  ASSERT_EQ(run(state), 0) << state.log();
  expect_undisturbed(state);
  for (const std::string& path : damaged) EXPECT_THAT(state.log(), HasSubstr(path + " is damaged"));
}

}  // namespace
}  // namespace harness
