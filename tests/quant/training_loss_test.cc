#include "harness/quant/training_loss.h"

#include <ATen/ATen.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "harness/model/safetensors.h"
#include "tests/quant/tiny_model.h"
#include "tests/support/support.h"

namespace harness {
namespace {

using test::tiny_config;
using test::tiny_model;
using testing::HasSubstr;

const SafetensorsFile& golden() {
  static const SafetensorsFile file(test::golden("transform_training/golden.safetensors"));
  return file;
}

const nlohmann::json& about() {
  static const auto json =
      nlohmann::json::parse(test::read_file(test::golden("transform_training/golden.json")));
  return json;
}

PushSubset subset_of(const std::string& name) {
  if (name == "logit") return PushSubset::logit_difference;
  return name == "base" ? PushSubset::base_probability : PushSubset::probability_difference;
}

SubsetTargets subset_targets(const at::Tensor& logits, const at::Tensor& indices) {
  SubsetTargets targets;
  if (indices.defined()) targets.indices = indices.to(at::kInt).unsqueeze(0);
  targets.logits = (indices.defined() ? logits.gather(1, indices) : logits).unsqueeze(0);
  targets.log_sum_exp = at::logsumexp(logits, {-1}).unsqueeze(0);
  return targets;
}

/// The loss on one sequence of positions whose logits are all known.
Distillation loss_on(const at::Tensor& teacher, const at::Tensor& base,
                     const DistillationOptions& options) {
  DistillationTargets targets;
  targets.teacher = subset_targets(
      teacher, options.top_k ? std::get<1>(teacher.topk(options.top_k, -1)) : at::Tensor());
  if (options.alpha != 0)
    targets.base = subset_targets(
        base, options.push_top_k
                  ? push_indices(teacher, base, options.push_subset, options.push_top_k)
                  : at::Tensor());
  return {targets, options};
}

struct Outcome {
  std::vector<double> sums;
  at::Tensor gradient = {};
  double total(const TrainingLoss& loss) const {
    double total = 0;
    for (std::size_t i = 0; i < sums.size(); ++i) total += loss.terms()[i].weight * sums[i];
    return total;
  }
};

Outcome outcome(const TrainingLoss& loss, const at::Tensor& logits, std::int64_t first = 0) {
  at::Tensor sums = at::zeros({static_cast<std::int64_t>(loss.terms().size())}, at::kDouble);
  const at::Tensor gradient = loss.backward(logits, 0, first, sums);
  const double* values = sums.const_data_ptr<double>();
  return {{values, values + sums.numel()}, gradient};
}

DistillationOptions options_of(const nlohmann::json& entry) {
  return {entry.at("top_k").get<std::int64_t>(), entry.at("renormalise").get<bool>(),
          entry.at("alpha").get<double>(), entry.at("push_top_k").get<std::int64_t>(),
          subset_of(entry.at("subset").get<std::string>())};
}

TEST(Distillation, ValuesAndGradientsAreTheDefinitionsByAutograd) {
  const at::Tensor teacher = golden().load("loss.teacher"), base = golden().load("loss.base"),
                   student = golden().load("loss.student");
  const auto positions = static_cast<double>(student.size(0));
  int index = 0;
  for (const auto& entry : about().at("losses")) {
    const std::string name = entry.at("name");
    const DistillationOptions options = options_of(entry);
    for (at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const double tolerance = dtype == at::kDouble ? 1e-12 : 1e-6;
      const Distillation loss = loss_on(teacher.to(dtype), base.to(dtype), options);
      const Outcome found = outcome(loss, student.to(dtype));
      EXPECT_NEAR(found.total(loss) / positions, entry.at("total").get<double>(), tolerance)
          << name;
      EXPECT_NEAR(found.sums[0] / positions, entry.at("pull").get<double>(), tolerance) << name;
      if (options.alpha != 0) {
        EXPECT_NEAR(found.sums[1] / positions, entry.at("push").get<double>(), tolerance) << name;
      }
      const at::Tensor expected = golden().load(fmt::format("loss.{}.gradient", index));
      EXPECT_LT((found.gradient.to(at::kDouble) / positions - expected).abs().max().item<double>(),
                tolerance)
          << name;
    }
    if (options.push_top_k > 0) {
      const at::Tensor chosen =
          push_indices(teacher, base, options.push_subset, options.push_top_k);
      EXPECT_TRUE(at::equal(std::get<0>(chosen.sort(-1)),
                            golden().load(fmt::format("loss.{}.push_indices", index))))
          << name;
    }
    ++index;
  }
  EXPECT_EQ(index, 6);
}

TEST(Distillation, GradientIsTheSlope) {
  const at::Tensor teacher = golden().load("loss.teacher"), base = golden().load("loss.base");
  for (const auto& entry : about().at("losses")) {
    const Distillation loss = loss_on(teacher, base, options_of(entry));
    const at::Tensor student = golden().load("loss.student").clone();
    const at::Tensor gradient = outcome(loss, student).gradient;
    for (std::int64_t row : {0, 7})
      for (std::int64_t column = 0; column < student.size(1); column += 3) {
        const double step = 1e-5;
        at::Tensor up = student.clone(), down = student.clone();
        up[row][column] += step;
        down[row][column] -= step;
        const double slope =
            (outcome(loss, up).total(loss) - outcome(loss, down).total(loss)) / (2 * step);
        EXPECT_NEAR(gradient[row][column].item<double>(), slope, 1e-8);
      }
  }
}

TEST(Distillation, WithoutAPushIsOstquantsToTheBit) {
  const at::Tensor teacher = golden().load("loss.teacher").to(at::kFloat),
                   base = golden().load("loss.base").to(at::kFloat),
                   student = golden().load("loss.student").to(at::kFloat);
  for (bool renormalise : {true, false}) {
    const Distillation pull = loss_on(teacher, base, {.top_k = 9, .renormalise = renormalise});
    const Distillation aaq = loss_on(teacher, base,
                                     {.top_k = 9,
                                      .renormalise = renormalise,
                                      .alpha = 0,
                                      .push_top_k = 5,
                                      .push_subset = PushSubset::logit_difference});
    const Outcome expected = outcome(pull, student), found = outcome(aaq, student);
    EXPECT_EQ(found.sums, expected.sums);
    EXPECT_TRUE(at::equal(found.gradient, expected.gradient));
  }
}

TEST(Distillation, PushesAwayFromTheBase) {
  const at::Tensor teacher = golden().load("loss.teacher"), base = golden().load("loss.base");
  const DistillationOptions options{.top_k = 0, .alpha = 1, .push_top_k = 0};
  const Distillation loss = loss_on(teacher, base, options);
  // At the teacher itself there is no pull, and a step down the gradient leaves the base.
  const Outcome at_teacher = outcome(loss, teacher);
  EXPECT_NEAR(at_teacher.sums[0], 0, 1e-12);
  const Outcome behind = outcome(loss, teacher - 0.01 * at_teacher.gradient);
  EXPECT_GT(behind.sums[1], at_teacher.sums[1]);
  EXPECT_LT(behind.total(loss), at_teacher.total(loss));
}

TEST(Distillation, PositionsFindTheirTargets) {
  const at::Tensor teacher = golden().load("loss.teacher"), student = golden().load("loss.student");
  const Distillation loss = loss_on(teacher, teacher, {.top_k = 9});
  const Outcome all = outcome(loss, student), part = outcome(loss, student.slice(0, 4, 9), 4);
  EXPECT_TRUE(at::allclose(part.gradient, all.gradient.slice(0, 4, 9), 1e-12, 1e-14));
}

TEST(CrossEntropy, IsTorchs) {
  const at::Tensor student = golden().load("loss.student");
  const std::int64_t positions = student.size(0);
  const at::Tensor tokens =
      at::cat({at::zeros({1}, at::kLong), golden().load("cross_entropy.targets")}).unsqueeze(0);
  const CrossEntropy loss(tokens);
  EXPECT_EQ(loss.positions(positions + 1), positions);
  const Outcome found = outcome(loss, student);
  const auto count = static_cast<double>(positions);
  EXPECT_NEAR(found.sums[0] / count, about().at("cross_entropy").get<double>(), 1e-12);
  EXPECT_TRUE(
      at::allclose(found.gradient / count, golden().load("cross_entropy.gradient"), 1e-12, 1e-14));
}

at::Tensor some_tokens() {
  return at::randint(40, {3, 12}, at::detail::createCPUGenerator(8), at::kLong);
}

LlamaConfig with_vocabulary(std::int64_t size) {
  LlamaConfig config = tiny_config();
  config.vocab_size = size;
  return config;
}

/// The tiny model with a head of its own making, so that it is another one of the same shape.
std::unique_ptr<LlamaModel> other_model() {
  auto model = tiny_model();
  model->lm_head().weight.add_(
      0.1 * at::randn(model->lm_head().weight.sizes(), at::detail::createCPUGenerator(9)));
  return model;
}

TEST(DistillationTargets, AreOfTheModelsLogits) {
  const auto teacher = tiny_model(), base = other_model();
  const at::Tensor tokens = some_tokens();
  const DistillationOptions options{.top_k = 6, .alpha = 0.5, .push_top_k = 4};
  const DistillationTargets targets =
      distillation_targets(tokens, *teacher, base.get(), options, no_progress());
  const at::Tensor logits = teacher->logits(tokens), base_logits = base->logits(tokens);
  const Distillation direct = loss_on(logits.flatten(0, 1), base_logits.flatten(0, 1), options);
  const Distillation found(targets, options);
  const at::Tensor student = at::randn({36, 40}, at::detail::createCPUGenerator(10), at::kFloat);
  const Outcome expected = outcome(direct, student);
  for (std::int64_t sequence = 0; sequence < 3; ++sequence) {
    at::Tensor sums = at::zeros({2}, at::kDouble);
    const at::Tensor gradient =
        found.backward(student.slice(0, 12 * sequence, 12 * sequence + 12), sequence, 0, sums);
    EXPECT_TRUE(at::allclose(
        gradient, expected.gradient.slice(0, 12 * sequence, 12 * sequence + 12), 1e-4, 1e-6));
  }
}

/// What stored_targets() is asked for, with a count of the passes.
struct Store {
  test::TemporaryFolder folder;
  std::unique_ptr<LlamaModel> teacher = tiny_model(), base = other_model();
  int passes = 0;

  DistillationTargets make(const DistillationOptions& options) {
    ++passes;
    return distillation_targets(some_tokens(), *teacher, options.alpha != 0 ? base.get() : nullptr,
                                options, no_progress());
  }
  DistillationTargets get(const std::string& inputs, const DistillationOptions& options) {
    return stored_targets(folder.path(), inputs, options, 40,
                          [&](const DistillationOptions& kept) { return make(kept); });
  }
};

void expect_same(const SubsetTargets& found, const SubsetTargets& expected) {
  EXPECT_TRUE(at::equal(found.indices, expected.indices));
  EXPECT_TRUE(at::equal(found.logits, expected.logits));
  EXPECT_TRUE(at::equal(found.log_sum_exp, expected.log_sum_exp));
}

TEST(DistillationTargets, OnePassServesEveryArmOfASweep) {
  Store store;
  for (const double alpha : {0.5, 0.75}) {
    for (const std::int64_t k : {4, 1, 40}) {
      for (const std::int64_t push_k : {6, 2}) {
        const DistillationOptions options{.top_k = k, .alpha = alpha, .push_top_k = push_k};
        const DistillationTargets found = store.get("a", options);
        EXPECT_EQ(store.passes, 1);
        const DistillationTargets expected = distillation_targets(
            some_tokens(), *store.teacher, store.base.get(), options, no_progress());
        expect_same(found.teacher, expected.teacher);
        expect_same(found.base, expected.base);
      }
    }
  }
  // OSTQuant's need no base.
  EXPECT_FALSE(store.get("a", {.top_k = 3}).base.logits.defined());
  EXPECT_EQ(store.passes, 1);
  // Another text, another choice of the push's subset, and no subset at all.
  store.get("b", {.top_k = 3});
  EXPECT_EQ(store.passes, 2);
  store.get("a",
            {.top_k = 4, .alpha = 1, .push_top_k = 6, .push_subset = PushSubset::base_probability});
  EXPECT_EQ(store.passes, 3);
  EXPECT_EQ(store.get("a", {.top_k = 0}).teacher.logits.size(-1), 40);
  EXPECT_EQ(store.passes, 4);
}

// OSTQuant's arm comes first and asks the teacher alone; AAQ's, later, wants the push as well, and
// another variant another subset of it.
TEST(DistillationTargets, EachModelPassesOverATextOnce) {
  Store store;
  const at::Tensor tokens = some_tokens();
  auto make = [&](const LlamaModel& teacher, const LlamaModel* base,
                  const DistillationOptions& options) {
    FinalStates of_teacher(teacher, tokens, store.folder.path(), "teacher");
    std::optional<FinalStates> of_base;
    if (base) of_base.emplace(*base, tokens, store.folder.path(), "base");
    return distillation_targets(tokens, of_teacher, base ? &*of_base : nullptr, options,
                                no_progress());
  };
  // The same heads on other blocks: where one of them passes, its states are other ones.
  auto without_blocks = [](std::unique_ptr<LlamaModel> model) {
    for (LlamaBlock& block : model->blocks()) block.o.weight.zero_();
    return model;
  };
  const auto teacher = without_blocks(tiny_model()), base = without_blocks(other_model());
  make(*store.teacher, nullptr, {.top_k = 5});
  DistillationOptions options{.top_k = 5, .alpha = 1, .push_top_k = 7};
  make(*teacher, store.base.get(), options);
  for (const PushSubset subset :
       {PushSubset::probability_difference, PushSubset::logit_difference}) {
    options.push_subset = subset;
    const DistillationTargets found = make(*teacher, base.get(), options);
    const DistillationTargets expected =
        distillation_targets(tokens, *store.teacher, store.base.get(), options, no_progress());
    expect_same(found.teacher, expected.teacher);
    expect_same(found.base, expected.base);
    const DistillationTargets of_others =
        distillation_targets(tokens, *teacher, base.get(), options, no_progress());
    EXPECT_FALSE(at::equal(of_others.base.logits, expected.base.logits));
  }
}

TEST(DistillationTargets, WrongSubsetsAndBasesAreErrors) {
  const auto teacher = tiny_model(), other = tiny_model(at::kFloat, with_vocabulary(41));
  auto text = [&](const LlamaModel* base, const DistillationOptions& options) {
    return test::error_of(
        [&] { distillation_targets(some_tokens(), *teacher, base, options, no_progress()); });
  };
  EXPECT_THAT(text(nullptr, {.top_k = 41}), HasSubstr("top_k: 41, but the vocabulary has 40"));
  EXPECT_THAT(text(teacher.get(), {.top_k = 5, .alpha = 1, .push_top_k = 41}),
              HasSubstr("push_top_k: 41"));
  EXPECT_THAT(text(other.get(), {.top_k = 5, .alpha = 1, .push_top_k = 5}),
              HasSubstr("a vocabulary of 41 tokens, the model's has 40"));
}

/// The most memory that tensors of this thread have held at once, above what they held at first.
class PeakMemory : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, std::int64_t size, std::size_t, std::size_t, c10::Device) override {
    held_ += size;
    peak_ = std::max(peak_, held_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  std::int64_t peak() const { return peak_; }

 private:
  std::int64_t held_ = 0, peak_ = 0;
};

std::int64_t peak_of(const std::function<void()>& work) {
  const auto memory = std::make_shared<PeakMemory>();
  {
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, memory);
    work();
  }
  return memory->peak();
}

// methods.md section 6 allows one float32 copy of a whole vocabulary beyond the student's own
// logits. There is none: only the gradient (bfloat16 as they are), and what the subsets need.
TEST(Distillation, HoldsTheGradientBesideTheLogits) {
  const std::int64_t positions = 64, vocabulary = 32000, k = 500;
  const at::Generator generator = at::detail::createCPUGenerator(11);
  auto random = [&] { return at::randn({positions, vocabulary}, generator).to(at::kBFloat16); };
  const at::Tensor teacher = random(), base = random(), student = random();
  const std::int64_t gradient = positions * vocabulary * 2, subset = positions * k * 8;
  for (bool renormalise : {true, false}) {
    const Distillation loss = loss_on(
        teacher, base, {.top_k = k, .renormalise = renormalise, .alpha = 0.75, .push_top_k = k});
    const std::int64_t peak = peak_of([&] { outcome(loss, student); });
    EXPECT_GE(peak, gradient);  // so that it is measured at all
    EXPECT_LT(peak, gradient + 6 * subset);
  }
}

TEST(DistillationTargets, KeepNoMoreThanTheSubsets) {
  LlamaConfig config = with_vocabulary(40000);
  config.max_position_embeddings = 512;
  const auto teacher = tiny_model(at::kBFloat16, config), base = tiny_model(at::kBFloat16, config);
  const at::Tensor tokens = at::randint(40000, {8, 512}, at::kLong);
  DistillationTargets targets;
  const DistillationOptions options{.top_k = 100, .alpha = 1, .push_top_k = 50};
  const std::int64_t full = std::int64_t{8} * 512 * 40000 * 4;  // one float32 copy of all logits
  const std::int64_t chunk = nll_chunk_tokens(40000, at::kFloat) * 40000 * 4;
  const std::int64_t peak = peak_of([&] {
    targets = distillation_targets(tokens, *teacher, base.get(), options, no_progress());
  });
  EXPECT_LT(peak, 5 * chunk);  // both models' logits, and what compares them
  EXPECT_LT(peak, full / 2);
  std::int64_t bytes = 0;
  for (const SubsetTargets& kept : {targets.teacher, targets.base})
    for (const at::Tensor& tensor : {kept.indices, kept.logits, kept.log_sum_exp})
      bytes += static_cast<std::int64_t>(tensor.nbytes());
  EXPECT_EQ(bytes, 8 * 512 * (150 * (2 + 2) + 2 * 4));
}

}  // namespace
}  // namespace harness
