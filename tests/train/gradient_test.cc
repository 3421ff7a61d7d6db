#include <gmock/gmock.h>

#include "harness/model/safetensors.h"
#include "tests/train/train_support.h"

// Against transformers and torch.optim (tests/golden/train/generate.py), which ran in float64;
// transformers' norms and rotary angles are float32 even then, ours are not.

namespace harness {
namespace {

using test::golden;
using test::OneBatch;

nlohmann::json training_golden() {
  return nlohmann::json::parse(test::read_file(golden("train/training.json")));
}

at::Tensor rows(const nlohmann::json& list) {
  std::vector<at::Tensor> rows;
  for (const auto& row : list) rows.push_back(at::tensor(row.get<std::vector<std::int64_t>>()));
  return at::stack(rows);
}

TrainBatch golden_batch() {
  const nlohmann::json json = training_golden();
  return {rows(json["tokens"]), rows(json["targets"])};
}

struct Case {
  const char* name;
  const char* dtype;
  bool checkpoint_blocks;
  double tolerance;
};

class WholeModel : public testing::TestWithParam<Case> {};

TEST_P(WholeModel, GradientsAreThoseOfTransformers) {
  TrainOptions options;
  options.dtype = GetParam().dtype;
  options.checkpoint_blocks = GetParam().checkpoint_blocks;
  const auto checkpoint = test::tiny();
  TrainableModel model(*checkpoint, options);
  const TrainBatch batch = golden_batch();
  const auto targets = batch.targets.ge(0).sum().item<std::int64_t>();
  const double loss = model.accumulate_gradients(batch, targets);
  EXPECT_NEAR(loss, training_golden()["losses"][0].get<double>(), GetParam().tolerance * 10);

  const SafetensorsFile expected(golden("train/gradients.safetensors"));
  ASSERT_EQ(model.weights().size(), expected.entries().size());
  for (const auto& weight : model.weights()) {
    const at::Tensor wanted = expected.load(weight.name).to(at::kDouble);
    const at::Tensor found = weight.master.grad().to(at::kDouble);
    const double relative = ((found - wanted).norm() / wanted.norm()).item<double>();
    EXPECT_LT(relative, GetParam().tolerance) << weight.name;
  }
}

// bf16 has 8 bits: its gradients are some percent away from float32's.
INSTANTIATE_TEST_SUITE_P(Dtypes, WholeModel,
                         testing::Values(Case{"fp32", "fp32", false, 1e-5},
                                         Case{"fp32_checkpointed", "fp32", true, 1e-5},
                                         Case{"fp64", "fp64", false, 1e-6},
                                         Case{"bf16", "bf16", false, 0.1}),
                         [](const auto& info) { return info.param.name; });

TEST(Optimizer, StepsAreThoseOfTorchsAdamW) {
  const nlohmann::json expected = training_golden();
  const TrainBatch batch = golden_batch();
  TrainOptions options;
  options.dtype = "fp64";
  options.steps = 5;
  options.lr = 1e-2;
  options.schedule = "cosine";
  options.warmup = 2;
  options.weight_decay = 0.1;
  options.clip = 0.5;
  options.groups = {{"model.embed_tokens.weight", 8, true}, {"*norm.weight", 1, false}};
  const auto checkpoint = test::tiny();
  const test::Trained trained =
      test::train_on(*checkpoint, OneBatch(batch.tokens, batch.targets), options);
  for (int step = 1; step <= 5; ++step) {
    EXPECT_NEAR(trained.curves.at("loss").at(step), expected["losses"][step - 1].get<double>(),
                3e-6);
    EXPECT_NEAR(trained.curves.at("gradient_norm").at(step),
                expected["gradient_norms"][step - 1].get<double>(), 3e-5);
  }
  for (const auto& [name, sums] : expected["sums_and_absolute_sums"].items()) {
    const at::Tensor& weight = trained.tensors.at(name);
    EXPECT_NEAR(weight.sum().item<double>(), sums[0].get<double>(), 3e-4) << name;
    EXPECT_NEAR(weight.abs().sum().item<double>(), sums[1].get<double>(), 3e-4) << name;
  }
}

}  // namespace
}  // namespace harness
