#include "harness/train/trainer.h"

#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "harness/model/tensor_checkpoint.h"
#include "tests/train/train_support.h"

namespace harness {
namespace {

using test::differing;
using test::error_of;
using test::OneBatch;
using test::RandomBatches;
using test::short_training;
using test::train_on;
using test::Trained;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(LearningRate, RisesThenFollowsItsSchedule) {
  TrainOptions options;
  options.steps = 11;
  options.warmup = 4;
  options.lr = 2;
  options.final_lr = 0.1;
  for (const char* schedule : {"constant", "cosine", "linear"}) {
    options.schedule = schedule;
    EXPECT_DOUBLE_EQ(learning_rate(options, 0), 0.5);
    EXPECT_DOUBLE_EQ(learning_rate(options, 3), 2);
    EXPECT_DOUBLE_EQ(learning_rate(options, 4), 2);
  }
  options.schedule = "constant";
  EXPECT_DOUBLE_EQ(learning_rate(options, 10), 2);
  options.schedule = "cosine";
  EXPECT_DOUBLE_EQ(learning_rate(options, 7), 1.1);
  EXPECT_DOUBLE_EQ(learning_rate(options, 10), 0.2);
  options.schedule = "linear";
  EXPECT_DOUBLE_EQ(learning_rate(options, 10), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(options, 6), 2 - 1.8 / 3);
}

TEST(Train, LearnsABatchByHeart) {
  const TrainBatch batch = RandomBatches().batch(0);
  TrainOptions options = short_training(80);
  options.lr = 0.02;
  const auto checkpoint = initial_weights(test::new_config(), {}, 1);
  const Trained trained = train_on(checkpoint, OneBatch(batch.tokens, batch.targets), options);
  EXPECT_NEAR(trained.curves.at("loss").at(1), std::log(300.0), 0.1);
  EXPECT_LT(trained.outcome.loss, 0.5);
  EXPECT_EQ(trained.outcome.steps, 80);
  EXPECT_EQ(trained.outcome.stopped_by, TrainOutcome::StoppedBy::steps);
}

TEST(Train, SameBitsTwice) {
  const auto checkpoint = test::tiny();
  const Trained first = train_on(*checkpoint, RandomBatches(), short_training());
  const Trained second = train_on(*checkpoint, RandomBatches(), short_training());
  EXPECT_THAT(differing(first.tensors, second.tensors), IsEmpty());
  EXPECT_EQ(first.curves, second.curves);
}

class Dtype : public testing::TestWithParam<const char*> {};

TEST_P(Dtype, CheckpointedBlocksGiveTheSameBits) {
  TrainOptions options = short_training(3);
  options.dtype = GetParam();
  const auto checkpoint = test::tiny();
  const Trained plain = train_on(*checkpoint, RandomBatches(), options);
  options.checkpoint_blocks = true;
  const Trained again = train_on(*checkpoint, RandomBatches(), options);
  EXPECT_THAT(differing(plain.tensors, again.tensors), IsEmpty());
  EXPECT_EQ(plain.curves, again.curves);
}

TEST_P(Dtype, CheckpointedBlocksMayBeFrozenInPart) {
  TrainOptions options = short_training(3);
  options.dtype = GetParam();
  options.frozen = {"model.embed_tokens.weight", "model.layers.0.*", "model.norm.weight"};
  const auto checkpoint = test::tiny();
  const Trained plain = train_on(*checkpoint, RandomBatches(), options);
  options.checkpoint_blocks = true;
  const Trained again = train_on(*checkpoint, RandomBatches(), options);
  EXPECT_THAT(differing(plain.tensors, again.tensors), IsEmpty());
}

// A training that is killed at any moment goes on from its last state.
TEST_P(Dtype, GoesOnToTheSameBitsAfterAKill) {
  TrainOptions options = short_training(8);
  options.dtype = GetParam();
  const auto checkpoint = test::tiny();
  const Trained whole = train_on(*checkpoint, RandomBatches(), options);

  const test::TemporaryFolder folder;
  TrainHooks hooks;
  hooks.state_file = folder / "state.safetensors";
  hooks.state_key = "k";
  hooks.state_every_steps = 3;
  struct Killed {};
  hooks.curve = [](const CurveValue& value) {
    if (value.step == 5 && value.series == "loss") throw Killed();
  };
  EXPECT_THROW(train_on(*checkpoint, RandomBatches(), options, hooks), Killed);
  ASSERT_TRUE(std::filesystem::exists(hooks.state_file));

  int batches_drawn = 0;
  class Counting : public RandomBatches {
   public:
    explicit Counting(int& count) : count_(count) {}
    TrainBatch batch(std::int64_t index) const override {
      ++count_;
      return RandomBatches::batch(index);
    }

   private:
    int& count_;
  };
  hooks.curve = nullptr;
  const Trained resumed = train_on(*checkpoint, Counting(batches_drawn), options, hooks);
  EXPECT_EQ(batches_drawn, 5);  // 8 - 3
  EXPECT_THAT(differing(resumed.tensors, whole.tensors), IsEmpty());
  EXPECT_EQ(resumed.curves, whole.curves);
  EXPECT_EQ(resumed.outcome.loss, whole.outcome.loss);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Dtype, testing::Values("fp32", "bf16"),
                         [](const auto& info) { return info.param; });

TEST(Train, StateOfAnotherTrainingIsNotUsed) {
  const test::TemporaryFolder folder;
  const auto checkpoint = test::tiny();
  TrainHooks hooks;
  hooks.state_file = folder / "state.safetensors";
  hooks.state_key = "one";
  hooks.state_every_steps = 3;
  train_on(*checkpoint, RandomBatches(), short_training(4), hooks);
  ASSERT_TRUE(std::filesystem::exists(hooks.state_file));
  hooks.state_key = "another";
  const Trained trained = train_on(*checkpoint, RandomBatches(), short_training(4), hooks);
  EXPECT_THAT(
      differing(trained.tensors, train_on(*checkpoint, RandomBatches(), short_training(4)).tensors),
      IsEmpty());
}

TEST(Train, StateThatCannotBeWrittenIsAnError) {
  const test::TemporaryFolder folder;
  test::write_file(folder / "file", "in its place");
  TrainHooks hooks;
  hooks.state_file = folder / "file" / "state.safetensors";
  hooks.state_every_steps = 1;
  const auto checkpoint = test::tiny();
  EXPECT_THAT(error_of([&] { train_on(*checkpoint, RandomBatches(), short_training(), hooks); }),
              HasSubstr("cannot be written (Not a directory)"));
}

TEST(Train, AccumulatedBatchesAreOneLargeBatch) {
  TrainOptions options = short_training(3);
  options.dtype = "fp64";
  const auto checkpoint = test::tiny();
  const RandomBatches batches;
  const Trained large = train_on(*checkpoint, test::Joined(batches), options);
  options.accumulate = 2;
  const Trained small = train_on(*checkpoint, batches, options);
  for (const auto& [name, tensor] : large.tensors)
    EXPECT_TRUE(at::allclose(tensor, small.tensors.at(name), 1e-9, 1e-11)) << name;
  EXPECT_NEAR(large.outcome.loss, small.outcome.loss, 1e-12);
}

TEST(Train, RightPaddingWithoutTargetsChangesNothing) {
  TrainOptions options = short_training(2);
  options.dtype = "fp64";
  const TrainBatch batch = RandomBatches().batch(3);
  const OneBatch plain(batch.tokens, batch.targets);
  const OneBatch padded(at::constant_pad_nd(batch.tokens, {0, 5}, 7),
                        at::constant_pad_nd(batch.targets, {0, 5}, -100));
  const auto checkpoint = test::tiny();
  const Trained a = train_on(*checkpoint, plain, options);
  const Trained b = train_on(*checkpoint, padded, options);
  for (const auto& [name, tensor] : a.tensors)
    EXPECT_TRUE(at::allclose(tensor, b.tensors.at(name), 1e-9, 1e-11)) << name;
}

TEST(Train, FrozenTensorsKeepTheirBitsAndOthersDoNot) {
  TrainOptions options = short_training();
  options.frozen = {"*.1.mlp.*", "model.norm.weight"};
  const auto checkpoint = test::tiny();
  const Trained trained = train_on(*checkpoint, RandomBatches(), options);
  for (const auto& [name, tensor] : trained.tensors) {
    const bool frozen = name == "model.norm.weight" || glob_match("model.layers.1.mlp.*", name);
    EXPECT_EQ(at::equal(tensor, checkpoint->load(name)), frozen) << name;
  }
}

TEST(Train, GroupWithFactorZeroStays) {
  TrainOptions options = short_training();
  options.groups = {{"*.q_proj.weight", 0, true}};
  const auto checkpoint = test::tiny();
  const Trained trained = train_on(*checkpoint, RandomBatches(), options);
  for (const auto& [name, tensor] : trained.tensors)
    EXPECT_EQ(at::equal(tensor, checkpoint->load(name)), glob_match("*.q_proj.weight", name))
        << name;
}

// A step far below bfloat16's resolution is not lost.
TEST(Train, Bf16KeepsItsMastersInFloat32) {
  TrainOptions options = short_training(1);
  options.dtype = "bf16";
  options.lr = 1e-6;
  options.warmup = 0;
  options.weight_decay = 0;
  const auto checkpoint = test::tiny();
  const Trained trained = train_on(*checkpoint, RandomBatches(), options);
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  const at::Tensor moved = (trained.tensors.at(name) - checkpoint->load(name)).abs();
  EXPECT_EQ(trained.tensors.at(name).scalar_type(), at::kFloat);
  EXPECT_NEAR(moved.mean().item<double>(), 1e-6, 2e-7);
}

/// Met when the count of looks reaches `looks`.
class MetAtLook : public Criterion {
 public:
  explicit MetAtLook(int looks) : looks_(looks) {}
  Result evaluate(const LlamaModel& model) const override {
    EXPECT_FALSE(at::GradMode::is_enabled());
    const at::Tensor logits = model.logits(at::zeros({1, 4}, at::kLong));
    ++seen_;
    return {{{"look", seen_}, {"logit", logits[0][0][0].item<double>()}}, seen_ == looks_};
  }
  std::string canonical() const override { return "look"; }

 private:
  int looks_;
  mutable int seen_ = 0;
};

TEST(Train, StopsWhenTheCriterionIsMet) {
  TrainOptions options = short_training(40);
  options.criterion_every = 5;
  const auto checkpoint = test::tiny();
  const MetAtLook criterion(2);
  const Trained trained = train_on(*checkpoint, RandomBatches(), options, {}, &criterion);
  EXPECT_EQ(trained.outcome.stopped_by, TrainOutcome::StoppedBy::criterion);
  EXPECT_EQ(trained.outcome.steps, 10);
  EXPECT_EQ(trained.outcome.criterion_values[0].second, 2);
  EXPECT_THAT(trained.curves.at("look"), ElementsAre(std::pair(5, 1.0), std::pair(10, 2.0)));
}

TEST(Train, CriterionThatIsNeverMetIsAnOutcome) {
  TrainOptions options = short_training(7);
  options.criterion_every = 5;
  const auto checkpoint = test::tiny();
  const MetAtLook criterion(100);
  const Trained trained = train_on(*checkpoint, RandomBatches(), options, {}, &criterion);
  EXPECT_EQ(trained.outcome.stopped_by, TrainOutcome::StoppedBy::steps);
  EXPECT_THAT(trained.curves.at("look"), ElementsAre(std::pair(5, 1.0), std::pair(7, 2.0)));
}

TEST(Train, NanIsToldWithItsStepAndItsCurve) {
  TrainOptions options = short_training(20);
  options.lr = 1e30;
  options.warmup = 0;
  options.schedule = "constant";
  const auto checkpoint = test::tiny();
  std::map<std::int64_t, double> losses;
  TrainHooks hooks;
  hooks.what = "phase x";
  hooks.curve = [&](const CurveValue& value) {
    if (value.series == "loss") losses[value.step] = value.value;
  };
  try {
    train_on(*checkpoint, RandomBatches(), options, hooks);
    FAIL() << "a learning rate of 1e30 trains";
  } catch (const TrainingDiverged& error) {
    EXPECT_GT(error.step, 1);
    EXPECT_THAT(error.what(), HasSubstr(fmt::format("phase x: diverged at step {}", error.step)));
    ASSERT_EQ(static_cast<std::int64_t>(losses.size()), error.step);
    EXPECT_TRUE(std::isfinite(losses.at(1)));
  }
}

TEST(Train, BatchThatDoesNotFitTheModelIsAnError) {
  const auto checkpoint = test::tiny();  // vocabulary 300, 128 positions
  const at::Tensor short_row = at::zeros({1, 3}, at::kLong);
  auto message = [&](const at::Tensor& tokens, const at::Tensor& targets) {
    return error_of([&] { train_on(*checkpoint, OneBatch(tokens, targets), short_training()); });
  };
  EXPECT_THAT(message(short_row + 300, short_row), HasSubstr("token id 300"));
  EXPECT_THAT(message(short_row, short_row + 301), HasSubstr("target id 301"));
  EXPECT_THAT(message(short_row, short_row - 100), HasSubstr("nothing to learn"));
  EXPECT_THAT(message(at::zeros({1, 129}, at::kLong), at::zeros({1, 129}, at::kLong)),
              HasSubstr("a sequence of 129 tokens"));
}

TEST(Train, PatternThatMatchesNothingIsAnError) {
  const auto checkpoint = test::tiny();
  TrainOptions options = short_training();
  options.frozen = {"*.mpl.*"};
  EXPECT_THAT(error_of([&] { TrainableModel(*checkpoint, options); }), HasSubstr("\"*.mpl.*\""));
  options.frozen = {"*"};
  EXPECT_THAT(error_of([&] { TrainableModel(*checkpoint, options); }),
              HasSubstr("every tensor of the model is frozen"));
  options.frozen.clear();
  options.groups = {{"lm_head.weight", 2, true}};  // the tiny model is tied
  EXPECT_THAT(error_of([&] { TrainableModel(*checkpoint, options); }),
              HasSubstr("\"lm_head.weight\""));
}

TEST(InitialWeights, HaveTheSpreadThatIsAskedFor) {
  LlamaConfig config = test::new_config();
  config.vocab_size = 2000;
  InitOptions options;
  options.std = 0.05;
  options.groups = {{"model.embed_tokens.weight", 1}};
  options.embedding_offsets = {8, -8};
  const TensorCheckpoint weights = initial_weights(config, options, 3);
  auto std_of = [&](const char* name) { return weights.load(name).std().item<double>(); };
  EXPECT_NEAR(std_of("model.layers.0.mlp.up_proj.weight"), 0.05, 0.004);
  EXPECT_NEAR(std_of("model.layers.1.mlp.down_proj.weight"), 0.025, 0.002);
  EXPECT_NEAR(std_of("model.layers.1.self_attn.o_proj.weight"), 0.025, 0.002);
  const at::Tensor embedding = weights.load("model.embed_tokens.weight");
  EXPECT_NEAR(embedding.select(1, 0).mean().item<double>(), 8, 0.1);
  EXPECT_NEAR(embedding.select(1, 1).mean().item<double>(), -8, 0.1);
  EXPECT_NEAR(embedding.select(1, 2).mean().item<double>(), 0, 0.1);
  EXPECT_NEAR(embedding.select(1, 0).std().item<double>(), 1, 0.1);
  EXPECT_TRUE(at::equal(weights.load("model.norm.weight"), at::ones({32})));
}

TEST(InitialWeights, FollowTheSeed) {
  const auto digest = [](std::uint64_t seed) {
    return initial_weights(test::new_config(), {}, seed).digest();
  };
  EXPECT_EQ(digest(1), digest(1));
  EXPECT_NE(digest(1), digest(2));
}

TEST(InitialWeights, WrongOptionsAreErrors) {
  InitOptions options;
  options.groups = {{"*.embed.*", 1}};
  EXPECT_THAT(error_of([&] { initial_weights(test::new_config(), options, 0); }),
              HasSubstr("\"*.embed.*\" matches no tensor"));
  options.groups.clear();
  options.embedding_offsets.assign(33, 1.0);
  EXPECT_THAT(error_of([&] { initial_weights(test::new_config(), options, 0); }),
              HasSubstr("33 numbers"));
}

}  // namespace
}  // namespace harness
