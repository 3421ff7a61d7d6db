#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <ostream>

#include "harness/model/checkpoint_writer.h"
#include "harness/model/kv_cache.h"
#include "harness/model/tensor_checkpoint.h"
#include "tests/model/llama_golden.h"

// Each family against transformers (tests/golden/families), and what is left of the agreement
// without each of its features. tests/model/families_table.py makes results/families.md of the
// properties that these tests record.

namespace harness::test {
namespace {

using Ids = std::vector<std::int64_t>;

constexpr double kAgreement = 1e-4, kSeen = 1e-2;

nlohmann::json tokens_json(const std::string& name) {
  return nlohmann::json::parse(read_file(golden("families/" + name + "/tokens.json")));
}

std::unique_ptr<Checkpoint> open_case(const std::string& name) {
  return open_checkpoint(golden("families/" + name).string());
}

/// Largest difference to the logits of transformers at the positions that the case has.
double difference(const LlamaModel& model, const std::string& name) {
  const c10::InferenceMode no_gradients;
  const nlohmann::json tokens = tokens_json(name);
  const at::Tensor positions = token_row(tokens["positions"])[0];
  std::string bytes = read_file(golden("families/" + name + "/logits.bin"));
  const at::Tensor expected =
      at::from_blob(bytes.data(), {positions.size(0), model.config().vocab_size}, at::kFloat);
  EXPECT_GE(expected.std().item<double>(), 2);
  const at::Tensor found = model.logits(token_row(tokens["tokens"]))[0].index_select(0, positions);
  return max_difference(found, expected);
}

double difference(const Checkpoint& checkpoint, const std::string& name) {
  return difference(*LlamaModel::load(checkpoint, at::kFloat, at::kCPU), name);
}

void record(const char* key, double value) {
  testing::Test::RecordProperty(key, fmt::format("{:.1e}", value));
}

class Family : public testing::TestWithParam<const char*> {};

TEST_P(Family, HasTheLogitsOfTransformers) {
  const double found = difference(*open_case(GetParam()), GetParam());
  record("max_difference", found);
  EXPECT_LE(found, kAgreement);
}

INSTANTIATE_TEST_SUITE_P(Golden, Family,
                         testing::Values("llama31", "llama32", "mistral_window", "mistral_long",
                                         "mistral_full", "qwen2", "qwen2_window", "qwen2_yarn",
                                         "qwen2_yarn_keys", "qwen3", "qwen3_window"),
                         [](const auto& info) { return std::string(info.param); });

void without_window(LlamaConfig& config) {
  config.sliding_window.reset();
  config.layer_slides.clear();
}
void without_rope_scaling(LlamaConfig& config) { config.rope_scaling = {}; }

/// A feature of a golden case, and what switches it off.
struct Feature {
  const char* golden;
  const char* name;  // of the test
  std::function<void(LlamaConfig&)> off;
  std::function<void(LlamaModel&)> off_in_the_model = {};

  friend std::ostream& operator<<(std::ostream& out, const Feature& feature) {
    return out << feature.golden << " without " << feature.name;
  }
};

const std::vector<Feature>& features() {
  static const std::vector<Feature> kFeatures = {
      {"llama31", "rope_scaling", without_rope_scaling},
      {"llama31", "rope_factor", [](LlamaConfig& c) { c.rope_scaling.factor = 32; }},
      {"llama31", "rope_high_frequencies",
       [](LlamaConfig& c) { c.rope_scaling.high_freq_factor = 1.001; }},
      {"llama32", "rope_scaling", without_rope_scaling},
      {"mistral_window", "window", without_window},
      {"mistral_window", "width_of_the_window", [](LlamaConfig& c) { ++*c.sliding_window; }},
      {"mistral_long", "window", without_window},
      {"mistral_long", "width_of_the_window", [](LlamaConfig& c) { ++*c.sliding_window; }},
      {"mistral_full", "no_window",
       [](LlamaConfig& c) {
         c.sliding_window = 16;
         c.layer_slides = {true, true};
       }},
      {"qwen2", "biases", [](LlamaConfig& c) { c.qkv_bias = false; }},
      {"qwen2_window", "window", without_window},
      {"qwen2_window", "layers_of_the_window",
       [](LlamaConfig& c) {
         c.layer_slides = {true, true};
       }},
      {"qwen2_window", "biases", [](LlamaConfig& c) { c.qkv_bias = false; }},
      {"qwen2_yarn", "rope_scaling", without_rope_scaling},
      {"qwen2_yarn", "attention_factor",
       [](LlamaConfig& c) { c.rope_scaling.attention_factor = 1; }},
      {"qwen2_yarn", "stretched_frequencies",
       [](LlamaConfig& c) {
         c.rope_scaling.attention_factor = 0.1 * std::log(c.rope_scaling.factor) + 1;
         c.rope_scaling.factor = 1;
       }},
      {"qwen2_yarn_keys", "beta_fast", [](LlamaConfig& c) { c.rope_scaling.beta_fast = 32; }},
      {"qwen2_yarn_keys", "beta_slow", [](LlamaConfig& c) { c.rope_scaling.beta_slow = 1; }},
      {"qwen2_yarn_keys", "truncate", [](LlamaConfig& c) { c.rope_scaling.truncate = true; }},
      {"qwen2_yarn_keys", "attention_factor",
       [](LlamaConfig& c) { c.rope_scaling.attention_factor.reset(); }},
      {"qwen3", "q_norm", [](LlamaConfig&) {},
       [](LlamaModel& model) {
         for (LlamaBlock& block : model.blocks()) block.q_norm.reset();
       }},
      {"qwen3", "k_norm", [](LlamaConfig&) {},
       [](LlamaModel& model) {
         for (LlamaBlock& block : model.blocks()) block.k_norm.reset();
       }},
      {"qwen3_window", "biases", [](LlamaConfig& c) { c.qkv_bias = c.o_bias = false; }},
      {"qwen3_window", "bias_of_o", [](LlamaConfig& c) { c.o_bias = false; }},
      {"qwen3_window", "window", without_window},
      {"qwen3_window", "layers_of_the_window",
       [](LlamaConfig& c) {
         c.layer_slides = {false, true};
       }},
  };
  return kFeatures;
}

class FamilyWithout : public testing::TestWithParam<Feature> {};

TEST_P(FamilyWithout, TheFeatureHasOtherLogits) {
  const Feature& feature = GetParam();
  ChangedCheckpoint checkpoint(open_case(feature.golden));
  feature.off(checkpoint.changed());
  const auto model = LlamaModel::load(checkpoint, at::kFloat, at::kCPU);
  if (feature.off_in_the_model) feature.off_in_the_model(*model);
  const double found = difference(*model, feature.golden);
  record("max_difference", found);
  EXPECT_GT(found, kSeen);
}

INSTANTIATE_TEST_SUITE_P(Golden, FamilyWithout, testing::ValuesIn(features()),
                         [](const auto& info) {
                           return fmt::format("{}_without_{}", info.param.golden, info.param.name);
                         });

class FamilyInGguf : public testing::TestWithParam<const char*> {};

// Written as llama.cpp's converter does it: the rows of q and k turned for Mistral, not for Qwen.
TEST_P(FamilyInGguf, IsItsHuggingFaceSource) {
  const std::string name = GetParam();
  const auto source = open_case(name);
  const auto found = open_checkpoint(golden("families/" + name + "/model.gguf").string());
  for (const std::string& tensor : source->names()) {
    ASSERT_TRUE(found->contains(tensor)) << tensor;
    EXPECT_TRUE(at::equal(found->load(tensor).to(at::kFloat), source->load(tensor).to(at::kFloat)))
        << tensor;
  }
  EXPECT_EQ(found->names().size(), source->names().size());
  LlamaConfig expected = source->config();
  if (name == "mistral_full") expected.architecture = "LlamaForCausalLM";  // as GGUF has it
  EXPECT_EQ(config_json(found->config()), config_json(expected));
  const double apart = difference(*found, name);
  record("max_difference", apart);
  EXPECT_LE(apart, kAgreement);
}

INSTANTIATE_TEST_SUITE_P(Golden, FamilyInGguf,
                         testing::Values("mistral_full", "qwen2", "qwen2_yarn", "qwen3"),
                         [](const auto& info) { return std::string(info.param); });

/// A model's own tensors under their names.
std::map<std::string, at::Tensor> tensors_of(LlamaModel& model) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, tensor] : model.named_tensors()) tensors[name] = *tensor;
  return tensors;
}

TEST_P(Family, IsWrittenAndReadBack) {
  const auto source = open_case(GetParam());
  const auto model = LlamaModel::load(*source, at::kBFloat16, at::kCPU);
  const TemporaryFolder folder;
  save_checkpoint_folder(folder / "saved", source->config(), tensors_of(*model), {});
  const auto saved = open_checkpoint((folder / "saved").string());
  EXPECT_EQ(config_json(saved->config()), config_json(source->config()));
  EXPECT_EQ(saved->config().architecture, source->config().architecture);
  EXPECT_LE(difference(*saved, GetParam()), kAgreement);
}

class FamilyWithACache : public testing::TestWithParam<const char*> {};

// Prompts shorter and longer than the window, then a token at a time.
TEST_P(FamilyWithACache, HasTheLogitsOfWholeSequences) {
  const c10::InferenceMode no_gradients;
  const auto model = LlamaModel::load(*open_case(GetParam()), at::kFloat, at::kCPU);
  ASSERT_TRUE(model->config().sliding_window);
  const Ids tokens = tokens_json(GetParam())["tokens"];
  const Ids lengths = {5, 24}, starts = {0, 8};
  constexpr std::int64_t kSteps = 16;
  auto sequence = [&](std::size_t row, std::int64_t length) {
    return at::tensor(tokens, at::kLong).slice(0, starts[row], starts[row] + length).unsqueeze(0);
  };
  KvCache cache(*model, 2);
  const at::Tensor prompts = at::zeros({2, lengths[1]}, at::kLong);
  for (std::size_t row = 0; row < 2; ++row)
    prompts[static_cast<std::int64_t>(row)]
        .slice(0, 0, lengths[row])
        .copy_(sequence(row, lengths[row])[0]);
  model->hidden(prompts, cache);
  cache.advance(lengths);
  for (std::int64_t step = 0; step < kSteps; step += 2) {  // two tokens a pass
    std::vector<at::Tensor> next;
    for (std::size_t row = 0; row < 2; ++row)
      next.push_back(sequence(row, lengths[row] + step + 2).slice(1, lengths[row] + step));
    const at::Tensor found = model->head(model->hidden(at::cat(next), cache));
    cache.advance({2, 2});
    for (std::size_t row = 0; row < 2; ++row) {
      const at::Tensor whole = model->logits(sequence(row, lengths[row] + step + 2))[0];
      EXPECT_LE(max_difference(found[static_cast<std::int64_t>(row)],
                               whole.slice(0, lengths[row] + step)),
                1e-4)
          << "row " << row << ", step " << step;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, FamilyWithACache,
                         testing::Values("mistral_window", "qwen2_window", "qwen3_window"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Family, GradientsReachBiasesAndNormsThroughAWindow) {
  const auto model = LlamaModel::load(*open_case("qwen3_window"), at::kDouble, at::kCPU);
  LlamaBlock& block = model->blocks()[0];
  ASSERT_TRUE(block.window);
  const std::vector<at::Tensor> weights = {block.q_norm, block.k_norm, block.q.bias, block.o.bias};
  for (const at::Tensor& weight : weights) weight.set_requires_grad(true);
  const at::Tensor tokens = token_row(tokens_json("qwen3_window")["tokens"]);
  const auto loss = [&] { return model->logits(tokens).square().mean(); };
  loss().backward();
  constexpr double kStep = 1e-6;
  for (const at::Tensor& weight : weights) {
    const at::Tensor data = weight.detach();
    const at::Tensor before = data[3].clone();
    const double slope = weight.grad()[3].item<double>();
    data[3] = before + kStep;
    const double above = loss().item<double>();
    data[3] = before - kStep;
    const double below = loss().item<double>();
    data[3] = before;
    EXPECT_NEAR(slope, (above - below) / (2 * kStep), 1e-6 * (1 + std::abs(slope)));
  }
}

}  // namespace
}  // namespace harness::test
