#include "harness/run/stage_cache.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "harness/core/paths.h"
#include "harness/model/kept_tensors.h"
#include "harness/run/runner.h"
#include "harness/train/pair.h"
#include "tests/run/fixture.h"

namespace harness {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

namespace fs = std::filesystem;

/// What the cache keeps, in a folder of its own.
class StageCacheTest : public testing::Test {
 protected:
  /// A file of so many bytes that was last used some hours ago.
  fs::path put(const std::string& name, std::size_t bytes, int hours) {
    const fs::path path = cache() / name;
    fs::create_directories(path.parent_path());
    test::write_file(path, std::string(bytes, 'x'));
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(hours));
    return path;
  }
  fs::path cache() const { return folder_.path(); }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const CacheEntry& entry : cache_entries(cache()))
      found.push_back(entry.path.filename().string());
    return found;
  }
  test::TemporaryFolder folder_;
};

TEST_F(StageCacheTest, EntriesComeLeastRecentlyUsedFirst) {
  put("stages/b.safetensors", 10, 2);
  put("stages/a.scores", 20, 1);
  put("pairs/world-0-abc/base/model.safetensors", 300, 4);
  put("pairs/world-0-abc/lock", 0, 3);
  put("pairs/answers.json", 5, 9);
  put("stages/c.safetensors.17.partial", 1, 8);
  put("libtorch/library", 1000, 100);  // not the harness's to throw away
  const std::vector<CacheEntry> entries = cache_entries(cache());
  EXPECT_THAT(names(), ElementsAre("answers.json", "c.safetensors.17.partial", "world-0-abc",
                                   "b.safetensors", "a.scores"));
  EXPECT_EQ(entries[2].bytes, 300u);
  EXPECT_EQ(kind_name(entries[0].kind), std::string("pair"));
  EXPECT_EQ(kind_name(entries[1].kind), std::string("unfinished"));
  EXPECT_EQ(kind_name(entries[3].kind), std::string("tensors"));
  EXPECT_EQ(kind_name(entries[4].kind), std::string("scores"));
  EXPECT_THAT(cache_entries(folder_ / "absent"), IsEmpty());
}

TEST_F(StageCacheTest, WhatWasNotUsedForLongestGoesUntilTheRestFits) {
  put("stages/old.safetensors", 100, 5);
  put("stages/new.safetensors", 100, 1);
  put("pairs/world-0-abc/base/model.safetensors", 100, 3);
  EXPECT_THAT(collect_cache(cache(), {.keep = 300, .older_than = {}}), IsEmpty());
  EXPECT_THAT(collect_cache(cache(), {.keep = 150, .older_than = {}}), SizeIs(2));
  EXPECT_THAT(names(), ElementsAre("new.safetensors"));
  EXPECT_FALSE(fs::exists(cache() / "pairs/world-0-abc"));
}

TEST_F(StageCacheTest, WhatIsOldGoesWhateverItsSize) {
  put("stages/old.safetensors", 1, 49);
  put("stages/new.safetensors", 100, 47);
  EXPECT_THAT(collect_cache(cache(), {.keep = {}, .older_than = std::chrono::hours(48)}),
              SizeIs(1));
  EXPECT_THAT(names(), ElementsAre("new.safetensors"));
}

TEST_F(StageCacheTest, WhatIsBeingWrittenStaysAndWhatAKillLeftGoes) {
  put("stages/a.safetensors.17.partial", 1, 0);
  put("stages/b.safetensors.18.partial", 1, 2);
  collect_cache(cache(), {.keep = 0, .older_than = {}});
  EXPECT_THAT(names(), ElementsAre("a.safetensors.17.partial"));
}

TEST_F(StageCacheTest, APairThatIsBeingTrainedStays) {
  const test::ScopedVariable variable("HARNESS_CACHE", cache().string());
  const auto pair = open_pair({.pair = "world", .role = "base", .seed = 0, .steps = 2}, "");
  pair->locked([&] {
    test::write_file(pair->home() / "base.state.safetensors", "half of it");
    collect_cache(cache(), {.keep = 0, .older_than = {}});
    EXPECT_TRUE(fs::exists(pair->home()));
  });
  collect_cache(cache(), {.keep = 0, .older_than = {}});
  EXPECT_FALSE(fs::exists(pair->home()));
}

TEST_F(StageCacheTest, TheLimitIsASize) {
  EXPECT_EQ(stage_cache_limit(), std::uintmax_t{20} << 30);
  const test::ScopedVariable limit("HARNESS_CACHE_LIMIT", "1.5 GB");
  EXPECT_EQ(stage_cache_limit(), 1'500'000'000u);
  const test::ScopedVariable wrong("HARNESS_CACHE_LIMIT", "much");
  EXPECT_THAT(test::error_of([] { stage_cache_limit(); }), HasSubstr("\"50 GiB\""));
}

/// A method that counts how often it is applied, of a version that can be raised.
struct Counted {
  static inline int applied = 0, version = 1;
};
class CountedMethod : public Method {
 public:
  struct Config {
    double strength = 1;
    template <class V>
    void visit(V&& v) {
      v("strength", strength, Field{.doc = "of what it does"});
    }
  };
  explicit CountedMethod(Config config) : strength_(config.strength) {}
  MethodTraits traits() const override { return {}; }
  int version() const override { return Counted::version; }
  void check(const Format&, const LlamaConfig&, Problems&) const override {}
  void apply(MethodContext& context) const override {
    ++Counted::applied;
    context.model.final_norm() = context.model.final_norm() * (1 + strength_ / 10);
  }

 private:
  double strength_;
};

/// An experiment run again after something of it has changed.
class RecomputedTest : public testing::Test {
 protected:
  void SetUp() override {
    Counted::version = 1;
    test::write_file(folder_ / "text.txt", test::some_text());
    test::write_file(folder_ / "train.txt", "Another text. " + test::some_text());
    test::write_random_model(folder_ / "aligned", test::random_config(), 1);
    test::write_random_model(folder_ / "base", test::random_config(), 2);
    register_all_plugins(plugins_);
    plugins_.add_method<CountedMethod, CountedMethod::Config>("counted", "counts");
  }
  /// Runs it.
  /// @return the stages that were computed, "KIND NAME" in their order
  std::vector<std::string> run(const std::string& runs, const std::string& comment = "") {
    const auto store = ResultStore::open(folder_ / "a.sqlite");
    auto attempts = [&] {
      return store
          ->query(
              "SELECT s.kind || ' ' || s.name FROM attempts a JOIN stages s "
              "ON s.key = a.stage_key ORDER BY a.ended_at")
          .rows;
    };
    const std::size_t before = attempts().size();
    const std::string toml = fmt::format(
        "{}name='e'\nmodel='{}'\nbase='{}'\ndtype='fp32'\ndevice='cpu'\n"
        "calibration={{ text='{}', samples=4, length=16 }}\n"
        "evals=[{{ name='perplexity', text='{}', window=64, limit=2 }}]\n{}",
        comment, (folder_ / "aligned").string(), (folder_ / "base").string(),
        (folder_ / "train.txt").string(), (folder_ / "text.txt").string(), runs);
    EXPECT_EQ(run_plan(make_plan(parse_experiment(toml, "e.toml"), plugins_), *store, no_progress())
                  .failed,
              0);
    std::vector<std::string> computed;
    const auto all = attempts();
    for (std::size_t i = before; i < all.size(); ++i) computed.push_back(*all[i][0]);
    return computed;
  }
  /// A run that pushes with this weight.
  static std::string pushed(const std::string& alpha, int top_k = 8) {
    return fmt::format(
        "[[run]]\nlabel='AAQ'\nformat='w4a4kv4'\nmethods=[{{ name='aaq', steps=2, "
        "batch=2, top_k={}, push_top_k=4, alpha={} }}, 'rtn']\n",
        top_k, alpha);
  }
  std::vector<CacheEntry> kept() const { return cache_entries(folder_ / "cache"); }
  /// Each kept file and which one it is: a file that is written again is another.
  std::map<fs::path, ino_t> files() const {
    std::map<fs::path, ino_t> found;
    for (const CacheEntry& entry : kept()) {
      struct stat about {};
      EXPECT_EQ(stat(entry.path.c_str(), &about), 0);
      found[entry.path] = about.st_ino;
    }
    return found;
  }
  std::int64_t targets() const {
    const auto entries = kept();
    return std::count_if(entries.begin(), entries.end(), [](const CacheEntry& entry) {
      return entry.what == "targets of distillation";
    });
  }
  Plugins plugins_;
  test::TemporaryFolder folder_;
  test::ScopedVariable cache_{"HARNESS_CACHE", (folder_ / "cache").string()};
};

TEST_F(StageCacheTest, WhatWasUsedSinceTheStartStaysAlthoughAFilesTimeLags) {
  const fs::path used = put("used", 100, 0);
  const fs::path old = put("old", 100, 1);
  const test::ScopedVariable limit("HARNESS_CACHE_LIMIT", "50 B");
  limit_stages(cache(), fs::last_write_time(used) + std::chrono::milliseconds(10));
  EXPECT_TRUE(fs::exists(used));
  EXPECT_FALSE(fs::exists(old));
}

TEST_F(RecomputedTest, ACommentRecomputesNothing) {
  EXPECT_THAT(run(pushed("0.5")),
              ElementsAre("load checkpoint", "method aaq", "method rtn", "eval perplexity"));
  EXPECT_THAT(run(pushed("0.5"), "# why alpha is what it is\n\n"), IsEmpty());
  EXPECT_THAT(run(pushed("0.50")), IsEmpty());
}

TEST_F(RecomputedTest, AnotherAlphaRecomputesWhatFollowsOnly) {
  run(pushed("0.5"));
  EXPECT_EQ(targets(), 2);  // the teacher's and the base's
  const auto first = files();
  EXPECT_THAT(first, SizeIs(5));  // both models' states and the transform beside
  // Trained anew towards the targets that are there.
  EXPECT_THAT(run(pushed("0.25")),
              ElementsAre("load checkpoint", "method aaq", "method rtn", "eval perplexity"));
  EXPECT_EQ(targets(), 2);
  const auto second = files();
  EXPECT_THAT(second, SizeIs(6));
  EXPECT_THAT(second, testing::IsSupersetOf(first));
  // What the weights are rounded by comes after the transform, which is the kept one.
  EXPECT_THAT(run(pushed("0.25") + "[[run]]\nlabel='wide'\nformat='w4a4kv4'\n"
                                   "methods=[{ name='aaq', steps=2, batch=2, top_k=8, "
                                   "push_top_k=4, alpha=0.25 }, { name='rtn', mse_clip=true }]\n"),
              ElementsAre("load checkpoint", "method aaq", "method rtn", "eval perplexity"));
  EXPECT_EQ(files(), second);
}

TEST_F(RecomputedTest, ARaisedVersionInvalidatesThePluginsStages) {
  const std::string runs =
      "[[run]]\nlabel='plain'\n[[run]]\nlabel='counted'\nmethods=['counted']\n";
  run(runs);
  const int applied = Counted::applied;
  EXPECT_THAT(run(runs), IsEmpty());
  Counted::version = 2;
  EXPECT_THAT(run(runs), ElementsAre("load checkpoint", "method counted", "eval perplexity"));
  EXPECT_EQ(Counted::applied, applied + 1);
  Counted::version = 1;  // what was measured before is there still
  EXPECT_THAT(run(runs), IsEmpty());
}

TEST_F(RecomputedTest, StagesAreKeptWithinTheLimitAndThoseOfThisRunStay) {
  run(pushed("0.5"));
  const auto before = kept();
  for (const CacheEntry& entry : before)
    fs::last_write_time(entry.path, entry.used - std::chrono::hours(1));
  const test::ScopedVariable limit("HARNESS_CACHE_LIMIT", "1 kB");
  run(pushed("0.25", 9));  // another transform, towards the same targets
  for (const CacheEntry& entry : before)
    EXPECT_EQ(fs::exists(entry.path), entry.what == "targets of distillation") << entry.what;
  EXPECT_THAT(kept(), SizeIs(3));
}

}  // namespace
}  // namespace harness
