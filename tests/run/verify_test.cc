#include "harness/run/verify.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <set>

#include "harness/core/paths.h"
#include "harness/run/runner.h"
#include "harness/store/sqlite.h"
#include "tests/run/fixture.h"

namespace harness {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::SizeIs;

class VerifyTest : public testing::Test {
 protected:
  void SetUp() override {
    test::write_file(folder_ / "text.txt", test::some_text());
    test::write_file(folder_ / "train.txt", "Another text. " + test::some_text());
    test::write_quiz(folder_.path());
    test::write_random_model(folder_ / "aligned", test::random_config(), 1);
    test::write_random_model(folder_ / "base", test::random_config(), 2);
    store_ = ResultStore::open(folder_ / "a.sqlite");
    run(kEvals);
  }
  static constexpr const char* kEvals =
      "evals=[{ name='perplexity', text='text.txt', window=64, limit=3 }, 'safetybench', "
      "'flips']\n[[run]]\nlabel='plain'\n[[run]]\nlabel='trained'\n"
      "format={ w={ bits=4, group=16 }, a=4, k=4, v=4 }\n"
      "methods=[{ name='ostquant', steps=3, batch=2, top_k=8 }, 'rtn']\n";
  /// @param rest TOML: evals and runs
  Experiment experiment(const std::string& rest) const {
    return parse_experiment(
        fmt::format("name='e'\nmodel='{0}/aligned'\nbase='{0}/base'\ndtype='fp32'\ndevice='cpu'\n"
                    "data_dir='{0}'\ncalibration={{ text='train.txt', samples=4, length=16 }}\n{1}",
                    folder_.path().string(), rest),
        "e.toml");
  }
  void run(const std::string& rest) {
    ASSERT_EQ(
        run_plan(make_plan(experiment(rest), test::all_plugins()), *store_, no_progress()).failed,
        0);
  }
  std::string key(const std::string& label) {
    return *store_
                ->query("SELECT run_key FROM current_runs WHERE label = :label", {{"label", label}})
                .rows.at(0)
                .at(0);
  }
  std::vector<VerifiedStage> verify(const std::vector<std::string>& labels,
                                    VerifyOptions options = {}) {
    std::vector<std::string> keys;
    for (const std::string& label : labels) keys.push_back(key(label));
    options.data_dir = folder_.path().string();
    return verify_runs(*store_, keys, options, test::all_plugins(), no_progress());
  }
  /// Changes what is stored.
  void execute(const std::string& sql) {
    store_.reset();
    sqlite::Connection(folder_ / "a.sqlite", sqlite::Connection::Mode::read_write).execute(sql);
    store_ = ResultStore::open(folder_ / "a.sqlite");
  }
  test::TemporaryFolder folder_;
  test::ScopedVariable cache_{"HARNESS_CACHE", (folder_ / "cache").string()};
  std::unique_ptr<ResultStore> store_;
};

TEST_F(VerifyTest, WhatIsComputedAgainIsEqualToTheBit) {
  const std::vector<VerifiedStage> stages = verify({"plain", "trained"});
  ASSERT_THAT(stages, SizeIs(3 + 2 + 3));  // evals of each, methods of the second
  for (const VerifiedStage& stage : stages) {
    EXPECT_EQ(stage.agreement(), Agreement::equal) << stage.run << " " << stage.name;
    EXPECT_THAT(stage.problem, IsEmpty());
    EXPECT_THAT(stage.conditions, IsEmpty());
    if (stage.kind == "eval") {
      EXPECT_GT(stage.values.equal, 3 * 4);
      EXPECT_EQ(stage.items.equal, stage.stored_items);
    }
  }
  // The trained transform was trained again: its curve is compared, 5 series of 3 steps and more.
  const auto trained = std::find_if(stages.begin(), stages.end(), [](const VerifiedStage& stage) {
    return stage.name == "ostquant";
  });
  EXPECT_GT(trained->values.equal, 2 * 4 * 3);
  // Nothing is left but what was there.
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(cache_folder()))
    left.push_back(entry.path().filename().string());
  EXPECT_THAT(left, ElementsAre("stages"));
}

TEST_F(VerifyTest, WhatDiffersIsNamedWithBothValues) {
  execute(
      "UPDATE metrics SET value = value + 1 WHERE name = 'perplexity';"
      "UPDATE items SET score = score * (1 + 1e-8) WHERE position = 1 AND detail LIKE '%nll%'");
  const std::vector<VerifiedStage> stages = verify({"plain"});
  ASSERT_THAT(stages, SizeIs(3));
  EXPECT_EQ(stages[0].agreement(), Agreement::different);
  EXPECT_EQ(stages[0].values.different, 1);
  EXPECT_GT(stages[0].largest, 1e-4);
  EXPECT_THAT(stages[0].differences,
              Contains(Field(&VerifiedDifference::what, "metric perplexity: value")));
  EXPECT_EQ(stages[1].agreement(), Agreement::equal);
}

TEST_F(VerifyTest, ASmallDifferenceIsWithinTheTolerance) {
  execute("UPDATE metrics SET value = value * (1 + 1e-9) WHERE name = 'perplexity'");
  EXPECT_EQ(verify({"plain"})[0].agreement(), Agreement::within_tolerance);
  EXPECT_EQ(verify({"plain"})[0].values.within, 1);
  VerifyOptions exact;
  exact.tolerance = 0;
  EXPECT_EQ(verify({"plain"}, exact)[0].agreement(), Agreement::different);
}

TEST_F(VerifyTest, AnItemThatChangedIsNamed) {
  execute(
      "UPDATE items SET score = 1 - score WHERE (attempt, id) IN (SELECT i.attempt, i.id FROM "
      "items i "
      "JOIN attempts a ON a.id = i.attempt JOIN stages s ON s.key = a.stage_key "
      "WHERE s.name = 'safetybench' AND i.position = 2)");
  const std::vector<VerifiedStage> stages = verify({"plain"});
  EXPECT_EQ(stages[1].values.different, 1);
  EXPECT_EQ(stages[1].items.different, 1);
  EXPECT_EQ(stages[1].items.equal, 11);
  EXPECT_THAT(stages[1].differences.at(0).what, HasSubstr(": score"));
}

TEST_F(VerifyTest, ASampleIsSomeItemsOfEachEval) {
  VerifyOptions options;
  options.sample = 2;
  const std::vector<VerifiedStage> stages = verify({"plain", "trained"}, options);
  ASSERT_THAT(stages, SizeIs(3 + 2 + 3));
  for (const VerifiedStage& stage : stages) {
    EXPECT_THAT(stage.problem, IsEmpty()) << stage.name;
    if (stage.kind != "eval") continue;
    EXPECT_THAT(stage.items.all(), Le(2)) << stage.run << " " << stage.name;
    if (stage.name == "flips") continue;  // of the two those on which the references disagree
    EXPECT_EQ(stage.items.all(), 2) << stage.run << " " << stage.name;
    EXPECT_EQ(stage.stored_items, stage.name == "perplexity" ? 3 : 12);
  }
  // Nothing is quantized in the first run: other batches change last digits at the most.
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_NE(stages[i].agreement(), Agreement::different) << stages[i].name;
}

TEST_F(VerifyTest, ASampleHoldsWhatItsSeedDraws) {
  execute("UPDATE items SET score = score + 1");
  auto changed = [&](std::uint64_t seed) {
    VerifyOptions options;
    options.sample = 1;
    options.seed = seed;
    const std::vector<VerifiedStage> stages = verify({"plain"}, options);
    EXPECT_EQ(stages[1].items.different, 1);
    return stages[1].differences.at(0).what;
  };
  const std::string first = changed(0);
  EXPECT_EQ(changed(0), first);
  std::set<std::string> all{first};
  for (std::uint64_t seed = 1; seed < 6; ++seed) all.insert(changed(seed));
  EXPECT_THAT(all, SizeIs(testing::Gt(1u)));
}

TEST_F(VerifyTest, ASampleSaysNothingOfMetricsWhichAreThoseOfAllItems) {
  execute("UPDATE metrics SET value = value + 1");
  VerifyOptions options;
  options.sample = 2;
  EXPECT_NE(verify({"plain"}, options)[0].agreement(), Agreement::different);
  EXPECT_EQ(verify({"plain"})[0].agreement(), Agreement::different);
}

TEST_F(VerifyTest, TheToleranceOfASampleIsThatOfOtherBatches) {
  execute("UPDATE items SET score = score * (1 + 2e-5) WHERE detail LIKE '%tokens%'");
  VerifyOptions options;
  EXPECT_EQ(verify({"plain"}, options)[0].agreement(), Agreement::different);
  options.sample = 3;
  EXPECT_EQ(verify({"plain"}, options)[0].agreement(), Agreement::within_tolerance);
  EXPECT_EQ(verify({"plain"}, options)[0].items.within, 3);
  options.tolerance = kTolerance;
  EXPECT_EQ(verify({"plain"}, options)[0].agreement(), Agreement::different);
}

TEST_F(VerifyTest, WhatDoesNotGoItemByItemIsMeasuredWhole) {
  run("evals=[{ name='activations', text='text.txt', window=32, limit=2 }, "
      "{ name='token_flips', text='text.txt', window=32, limit=4 }]\n[[run]]\nlabel='inside'\n");
  VerifyOptions options;
  options.sample = 1;
  const std::vector<VerifiedStage> stages = verify({"inside"}, options);
  ASSERT_THAT(stages, SizeIs(2));
  EXPECT_EQ(stages[0].items.equal, stages[0].stored_items);
  EXPECT_GT(stages[0].stored_items, 1);
  EXPECT_EQ(stages[0].agreement(), Agreement::equal);
  EXPECT_EQ(stages[1].items.all(), 1);
  EXPECT_EQ(stages[1].stored_items, 4);
  EXPECT_NE(stages[1].agreement(), Agreement::different);
}

TEST_F(VerifyTest, WhatIsLeftOutOfAPlanIsNotMeasured) {
  Plan plan = make_plan(experiment(kEvals), test::all_plugins());
  const PlannedRun& plain = plan.runs.front();
  plan.samples = {{plain.eval_stages[0].key, {}}, {plain.derived_stages[0].stage.key, {}}};
  const auto other = ResultStore::open(folder_ / "other.sqlite");
  EXPECT_EQ(run_plan(plan, *other, no_progress()).failed, 0);
  EXPECT_FALSE(other->stage_done(plain.eval_stages[0].key));
  EXPECT_TRUE(other->stage_done(plain.eval_stages[1].key));
  EXPECT_FALSE(other->stage_done(plain.derived_stages[0].stage.key));
}

TEST_F(VerifyTest, WhatHasChangedSinceIsSaid) {
  test::write_file(folder_ / "text.txt", "Once more. " + test::some_text());
  const std::vector<VerifiedStage> stages = verify({"plain"});
  EXPECT_EQ(stages[0].problem, "what determines it has changed since: data");
  EXPECT_EQ(stages[0].agreement(), Agreement::different);
}

TEST_F(VerifyTest, OtherConditionsAreSaid) {
  execute("UPDATE provenance SET value = '77' WHERE key = 'threads'");
  EXPECT_THAT(verify({"plain"})[0].conditions, ElementsAre(HasSubstr("threads 77, now ")));
}

}  // namespace
}  // namespace harness
