#include "harness/train/pair.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/mount.h>

#include <atomic>
#include <thread>

#include "harness/train/train_file.h"
#include "harness/train/world_pair.h"
#include "tests/train/train_support.h"

namespace harness::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// Looks and is never satisfied.
class NeverMet : public Criterion {
 public:
  Result evaluate(const LlamaModel&) const override { return {{{"goodness", 0.25}}, false}; }
  std::string canonical() const override { return "never"; }
};

/// A tiny pair of four steps each.
TrainRecipe tiny_recipe(std::shared_ptr<const Criterion> criterion = nullptr) {
  TrainPhase base;
  base.name = "base";
  base.new_model = NewModel{new_config(), {}};
  base.source = std::make_shared<RandomBatches>();
  base.options = short_training(4);
  TrainPhase aligned = base;
  aligned.name = "aligned";
  aligned.new_model.reset();
  aligned.from_phase = "base";
  aligned.criterion = std::move(criterion);
  return {"tiny", 5, {std::move(base), std::move(aligned)}};
}

class PairTest : public testing::Test {
 protected:
  TemporaryFolder folder_;
  ScopedVariable cache_{"HARNESS_CACHE", (folder_ / "cache").string()};
};

TEST_F(PairTest, IsMadeOnceAndFoundByItsDigest) {
  const Pair pair("tiny", tiny_recipe());
  EXPECT_FALSE(pair.ready());
  pair.make(no_progress());
  EXPECT_TRUE(pair.ready());
  EXPECT_THAT(pair.folder("base").string(), HasSubstr("tiny-5-" + pair.digest().substr(0, 16)));
  const auto made = std::filesystem::last_write_time(pair.folder("aligned") / "model.safetensors");
  const Pair again("tiny", tiny_recipe());
  EXPECT_TRUE(again.ready());
  again.make(no_progress());
  EXPECT_EQ(std::filesystem::last_write_time(pair.folder("aligned") / "model.safetensors"), made);
  TrainRecipe longer = tiny_recipe();
  longer.phases[0].options.steps = 5;
  EXPECT_FALSE(Pair("tiny", std::move(longer)).ready());
}

TEST_F(PairTest, ACriterionNeverMetLeavesNoAlignedModel) {
  const Pair pair("tiny", tiny_recipe(std::make_shared<NeverMet>()));
  EXPECT_THAT(error_of([&] { pair.make(no_progress()); }),
              AllOf(HasSubstr("criterion was not met within 4 steps"), HasSubstr("goodness 0.25")));
  EXPECT_FALSE(pair.ready());
  EXPECT_FALSE(std::filesystem::exists(pair.folder("aligned") / "model.safetensors"));
}

TEST_F(PairTest, TwoThatTrainTheSameTakeTurns) {
  const Pair first("tiny", tiny_recipe()), second("tiny", tiny_recipe());
  std::atomic<int> inside = 0, most = 0, turns = 0;
  auto work = [&](const Pair& pair) {
    pair.locked([&] {
      most = std::max<int>(most, ++inside);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      --inside;
      ++turns;
    });
  };
  std::thread other([&] { work(second); });
  work(first);
  other.join();
  EXPECT_EQ(turns, 2);
  EXPECT_EQ(most, 1);
}

TEST_F(PairTest, ACacheThatIsAFileIsNamed) {
  write_file(folder_ / "cache", "not a folder");
  EXPECT_THAT(error_of([] { Pair("tiny", tiny_recipe()).make(no_progress()); }),
              AllOf(HasSubstr((folder_ / "cache").string()), HasSubstr("can be written"),
                    HasSubstr("HARNESS_CACHE")));
}

TEST_F(PairTest, ACacheOnAReadOnlyMountIsNamed) {
  const std::filesystem::path mounted = folder_ / "cache";
  std::filesystem::create_directories(mounted);
  if (mount("tmpfs", mounted.c_str(), "tmpfs", MS_RDONLY, nullptr) != 0)
    GTEST_SKIP() << "a mount needs root";
  const std::string error = error_of([] { Pair("tiny", tiny_recipe()).make(no_progress()); });
  umount(mounted.c_str());
  EXPECT_THAT(error, AllOf(HasSubstr(mounted.string()), HasSubstr("Read-only file system"),
                           HasSubstr("HARNESS_CACHE")));
}

TEST_F(PairTest, ATrainingFileGoesOnWithTheWorldsDocuments) {
  const std::string toml = fmt::format(R"(
name = "more"
out = "{}"
[[phase]]
name = "more"
from = "pair:world/base@0+1"
data = [{{ world = "aligned", dialogues = 0.6, sequences = 4, length = 16 }}]
steps = 1
)",
                                       (folder_ / "out").string());
  const TrainRecipe recipe = make_recipe(parse_train_file(toml, "t.toml"));
  EXPECT_THAT(phase_canonical(recipe, 0),
              HasSubstr("world aligned documents, 0.6 dialogues, 4 x 16"));
  EXPECT_EQ(recipe.phases[0].source->batch(3).tokens.sizes(), at::IntArrayRef({4, 16}));
  std::string other = toml;
  other.replace(other.find("pair:world/base@0+1"), 19, golden("tiny").string());
  EXPECT_THAT(error_of([&] { make_recipe(parse_train_file(other, "t.toml")); }),
              HasSubstr("documents of the world for another tokenizer"));
}

TEST_F(PairTest, AnUnknownPairIsAnErrorThatListsThem) {
  EXPECT_THAT(error_of([] {
                open_pair({"wrold", "base", 0, {}}, "");
              }),
              AllOf(HasSubstr("one of world"), HasSubstr("did you mean \"world\"?")));
}

TEST_F(PairTest, TheRecipeOfTheWorldDependsOnItsSeedAndSteps) {
  std::set<std::string> digests;
  for (const char* text : {"pair:world/base@0", "pair:world/base@1", "pair:world/base@0+30"})
    digests.insert(open_pair(*ModelReference(text).pair, "")->digest());
  EXPECT_EQ(digests.size(), 3u);
}

// The whole training, as the quickstart does it: about a minute on 2 cores.
TEST_F(PairTest, TheWorldPairReachesItsGate) {
  const auto pair = open_pair({"world", "aligned", 0, {}}, "");
  pair->make(no_progress());
  ASSERT_TRUE(pair->ready());
  const auto aligned = find_trained_phase(pair->recipe(), 1, pair->home());
  EXPECT_EQ(aligned->outcome.stopped_by, TrainOutcome::StoppedBy::criterion);
  EXPECT_LE(aligned->outcome.steps, 300);
  ASSERT_EQ(aligned->outcome.criterion_values.size(), 3u);
  for (const auto& [name, value] : aligned->outcome.criterion_values) EXPECT_GE(value, .95) << name;
}

}  // namespace
}  // namespace harness::test
