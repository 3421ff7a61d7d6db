#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <map>

#include "tests/model/llama_golden.h"

// Each feature of the architecture against transformers, and what is left of the agreement without
// it.

namespace harness::test {
namespace {

double difference(const ChangedCheckpoint& checkpoint, const std::string& name) {
  const c10::InferenceMode inference;
  const auto model = LlamaModel::load(checkpoint, at::kFloat, at::kCPU);
  return max_difference(model->logits(golden_tokens(name)), golden_logits(name));
}

class LlamaFeature : public testing::TestWithParam<const char*> {};

TEST_P(LlamaFeature, HasTheLogitsOfTransformers) {
  EXPECT_LE(difference(ChangedCheckpoint(GetParam()), GetParam()), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Golden, LlamaFeature,
                         testing::Values("plain", "linear_rope", "llama3_rope", "rope_theta",
                                         "grouped_queries", "head_dim", "tied", "norm_epsilon",
                                         "bias"),
                         [](const auto& info) { return std::string(info.param); });

TEST(LlamaFeatureOff, LinearRopeScalingMatters) {
  ChangedCheckpoint checkpoint("linear_rope");
  checkpoint.changed().rope_scaling.type = "default";
  EXPECT_GT(difference(checkpoint, "linear_rope"), 1e-2);
}

TEST(LlamaFeatureOff, Llama3RopeScalingMatters) {
  ChangedCheckpoint checkpoint("llama3_rope");
  checkpoint.changed().rope_scaling.type = "default";
  EXPECT_GT(difference(checkpoint, "llama3_rope"), 1e-2);
}

TEST(LlamaFeatureOff, RopeThetaMatters) {
  ChangedCheckpoint checkpoint("rope_theta");
  checkpoint.changed().rope_theta = 10000.0;
  EXPECT_GT(difference(checkpoint, "rope_theta"), 1e-2);
}

TEST(LlamaFeatureOff, NormEpsilonMatters) {
  ChangedCheckpoint checkpoint("norm_epsilon");
  checkpoint.changed().rms_norm_eps = 1e-5;
  EXPECT_GT(difference(checkpoint, "norm_epsilon"), 1e-2);
}

TEST(LlamaFeatureOff, AttentionBiasMatters) {
  ChangedCheckpoint checkpoint("bias");
  checkpoint.changed().qkv_bias = checkpoint.changed().o_bias = false;
  EXPECT_GT(difference(checkpoint, "bias"), 1e-2);
}

TEST(LlamaFeatureOff, MlpBiasMatters) {
  ChangedCheckpoint checkpoint("bias");
  checkpoint.changed().mlp_bias = false;
  EXPECT_GT(difference(checkpoint, "bias"), 1e-2);
}

// Serves other weights under some names.
class Replaced : public ChangedCheckpoint {
 public:
  using ChangedCheckpoint::ChangedCheckpoint;
  std::map<std::string, at::Tensor> tensors;
  bool contains(const std::string& name) const override {
    return tensors.count(name) || ChangedCheckpoint::contains(name);
  }
  std::vector<std::int64_t> shape(const std::string& name) const override {
    const auto found = tensors.find(name);
    return found == tensors.end() ? ChangedCheckpoint::shape(name) : found->second.sizes().vec();
  }
  at::Tensor load(const std::string& name) const override {
    const auto found = tensors.find(name);
    return found == tensors.end() ? ChangedCheckpoint::load(name) : found->second;
  }
};

// Gives every query head the first key and value head: one group where there were two.
TEST(LlamaFeatureOff, GroupedQueriesMatter) {
  Replaced checkpoint("grouped_queries");
  const std::int64_t e = checkpoint.config().head_dim;
  checkpoint.changed().num_key_value_heads = 1;
  for (int layer = 0; layer < 2; ++layer)
    for (const char* part : {"k_proj", "v_proj"}) {
      const std::string name =
          "model.layers." + std::to_string(layer) + ".self_attn." + part + ".weight";
      checkpoint.tensors[name] = checkpoint.ChangedCheckpoint::load(name).slice(0, 0, e);
    }
  EXPECT_GT(difference(checkpoint, "grouped_queries"), 1e-2);
}

// As if heads were hidden_size / heads wide: twice as many heads of half the width.
TEST(LlamaFeatureOff, HeadDimMatters) {
  ChangedCheckpoint checkpoint("head_dim");
  LlamaConfig& config = checkpoint.changed();
  ASSERT_EQ(config.head_dim, 2 * config.hidden_size / config.num_attention_heads);
  config.head_dim /= 2;
  config.num_attention_heads *= 2;
  config.num_key_value_heads *= 2;
  EXPECT_GT(difference(checkpoint, "head_dim"), 1e-2);
}

TEST(LlamaFeatureOff, TyingMatters) {
  Replaced checkpoint("tied");
  checkpoint.changed().tie_word_embeddings = false;
  const at::Tensor embedding = checkpoint.ChangedCheckpoint::load("model.embed_tokens.weight");
  checkpoint.tensors["lm_head.weight"] = embedding.roll(1, 0);
  EXPECT_GT(difference(checkpoint, "tied"), 1e-2);
}

}  // namespace
}  // namespace harness::test
