#include "harness/run/verify.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

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
    const std::string toml = fmt::format(
        "name='e'\nmodel='{0}/aligned'\nbase='{0}/base'\ndtype='fp32'\ndevice='cpu'\n"
        "data_dir='{0}'\ncalibration={{ text='train.txt', samples=4, length=16 }}\n"
        "evals=[{{ name='perplexity', text='text.txt', window=64, limit=3 }}, 'safetybench', "
        "'flips']\n[[run]]\nlabel='plain'\n[[run]]\nlabel='trained'\n"
        "format={{ w={{ bits=4, group=16 }}, a=4, k=4, v=4 }}\n"
        "methods=[{{ name='ostquant', steps=3, batch=2, top_k=8 }}, 'rtn']\n",
        folder_.path().string());
    ASSERT_EQ(run_plan(make_plan(parse_experiment(toml, "e.toml"), test::all_plugins()), *store_,
                       no_progress())
                  .failed,
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
      EXPECT_GT(stage.equal, 3 * 4);
    }
  }
  // The trained transform was trained again: its curve is compared, 5 series of 3 steps and more.
  const auto trained = std::find_if(stages.begin(), stages.end(), [](const VerifiedStage& stage) {
    return stage.name == "ostquant";
  });
  EXPECT_GT(trained->equal, 2 * 4 * 3);
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
  EXPECT_EQ(stages[0].different, 1);
  EXPECT_GT(stages[0].largest, 1e-4);
  EXPECT_THAT(stages[0].differences,
              Contains(Field(&VerifiedDifference::what, "metric perplexity: value")));
  EXPECT_EQ(stages[1].agreement(), Agreement::equal);
}

TEST_F(VerifyTest, ASmallDifferenceIsWithinTheTolerance) {
  execute("UPDATE metrics SET value = value * (1 + 1e-9) WHERE name = 'perplexity'");
  EXPECT_EQ(verify({"plain"})[0].agreement(), Agreement::within_tolerance);
  EXPECT_EQ(verify({"plain"})[0].within, 1);
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
  EXPECT_EQ(stages[1].different, 1);
  EXPECT_THAT(stages[1].differences.at(0).what, HasSubstr(": score"));
}

TEST_F(VerifyTest, ASampleMeasuresSomeEvalsOnly) {
  VerifyOptions options;
  options.sample = 1;
  const auto evals = [](const std::vector<VerifiedStage>& stages) {
    return std::count_if(stages.begin(), stages.end(),
                         [](const VerifiedStage& stage) { return stage.kind == "eval"; });
  };
  EXPECT_EQ(evals(verify({"plain", "trained"}, options)), 1);
  options.sample = 3;
  EXPECT_EQ(evals(verify({"plain", "trained"}, options)), 3);
  options.sample = 100;  // all but the flips, which read others
  EXPECT_EQ(evals(verify({"plain", "trained"}, options)), 4);
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
