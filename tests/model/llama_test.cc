#include "harness/model/llama.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include <map>

#include "tests/model/counting_allocator.h"
#include "tests/model/llama_golden.h"

namespace harness::test {
namespace {

constexpr std::int64_t kTokens = 48;  // of each golden case

std::array<ActivationSite, kActivationSites> all_sites() {
  std::array<ActivationSite, kActivationSites> sites;
  for (int i = 0; i < kActivationSites; ++i) sites[i] = static_cast<ActivationSite>(i);
  return sites;
}

// A LLaMA of one small block and random weights, with any vocabulary.
class RandomCheckpoint : public Checkpoint {
 public:
  explicit RandomCheckpoint(std::int64_t vocabulary) {
    config_.hidden_size = 16;
    config_.intermediate_size = 32;
    config_.num_hidden_layers = 1;
    config_.num_attention_heads = config_.num_key_value_heads = 2;
    config_.head_dim = 8;
    config_.vocab_size = vocabulary;
    config_.tie_word_embeddings = true;
  }
  const LlamaConfig& config() const override { return config_; }
  bool contains(const std::string& name) const override { return shapes().count(name) > 0; }
  std::vector<std::string> names() const override { return {}; }
  std::vector<std::int64_t> shape(const std::string& name) const override {
    return shapes().at(name);
  }
  at::Tensor load(const std::string& name) const override { return at::randn(shape(name)); }
  std::string digest() const override { return {}; }
  std::string scheme() const override { return {}; }

 private:
  std::map<std::string, std::vector<std::int64_t>> shapes() const {
    const auto expected = expected_tensors(config_);
    return {expected.begin(), expected.end()};
  }
  LlamaConfig config_;
};

at::Tensor reference_nll(const at::Tensor& logits, const at::Tensor& tokens) {
  const at::Tensor log_p = at::log_softmax(logits.to(at::kDouble), -1);
  return -log_p.slice(1, 0, -1).gather(2, tokens.slice(1, 1).unsqueeze(2)).squeeze(2);
}

TEST(LlamaModel, TokenNllIsThatOfTheLogits) {
  const c10::InferenceMode inference;
  const auto model = golden_model("plain");
  const at::Tensor tokens = golden_tokens("plain").view({2, kTokens / 2});
  const at::Tensor nll = model->token_nll(tokens);
  EXPECT_EQ(nll.scalar_type(), at::kFloat);
  EXPECT_LE(max_difference(nll, reference_nll(model->logits(tokens), tokens)), 1e-5);
}

TEST(LlamaModel, ChunksOfTokensMakeNoDifference) {
  const c10::InferenceMode inference;
  const auto model = LlamaModel::load(RandomCheckpoint(200'000), at::kFloat, at::kCPU);
  const at::Tensor tokens = at::randint(200'000, {2, 101}, at::kLong);
  ASSERT_LT(nll_chunk_tokens(200'000, at::kFloat), 100);
  EXPECT_LE(max_difference(model->token_nll(tokens), reference_nll(model->logits(tokens), tokens)),
            1e-4);
}

TEST(LlamaModel, OneTokenPredictsNothing) {
  const c10::InferenceMode inference;
  const at::Tensor nll = golden_model("plain")->token_nll(golden_tokens("plain").slice(1, 0, 1));
  EXPECT_EQ(nll.sizes(), at::IntArrayRef({1, 0}));
}

TEST(LlamaModel, NllHoldsAtMost64MegabytesOfLogits) {
  const c10::InferenceMode inference;
  const auto model = LlamaModel::load(RandomCheckpoint(100'000), at::kFloat, at::kCPU);
  const at::Tensor tokens = at::randint(100'000, {1, 1000}, at::kLong);  // 400 MB of logits
  std::size_t hidden = 0, nll = 0;
  {
    CountingAllocator allocator;
    model->hidden(tokens);
    hidden = allocator.peak();
  }
  {
    CountingAllocator allocator;
    model->token_nll(tokens);
    nll = allocator.peak();
  }
  EXPECT_GT(nll, hidden);
  EXPECT_LE(nll, 64'000'000u + hidden);
}

TEST(LlamaModel, ChunkSizeCountsBytesOfLogits) {
  EXPECT_EQ(nll_chunk_tokens(49152, at::kFloat), 64'000'000 / (4 * 49152));
  EXPECT_EQ(nll_chunk_tokens(49152, at::kBFloat16), 64'000'000 / (2 * 49152));
  EXPECT_EQ(nll_chunk_tokens(100'000'000, at::kFloat), 1);
}

TEST(LlamaModel, RowsOfABatchDoNotMeet) {
  const c10::InferenceMode inference;
  const auto model = golden_model("grouped_queries");
  const at::Tensor tokens = golden_tokens("grouped_queries").view({3, kTokens / 3});
  const at::Tensor together = model->logits(tokens);
  for (std::int64_t row = 0; row < 3; ++row)
    EXPECT_LE(max_difference(together[row], model->logits(tokens.slice(0, row, row + 1))[0]), 1e-5);
}

TEST(LlamaModel, LaterTokensDoNotChangeEarlierLogits) {
  const c10::InferenceMode inference;
  const auto model = golden_model("plain");
  const at::Tensor tokens = golden_tokens("plain");
  EXPECT_LE(
      max_difference(model->logits(tokens).slice(1, 0, 10), model->logits(tokens.slice(1, 0, 10))),
      1e-5);
}

class LlamaDtype : public testing::TestWithParam<std::pair<at::ScalarType, double>> {};

// Against the float32 golden logits, whose standard deviation is about 3: the largest difference.
TEST_P(LlamaDtype, IsCloseToFloat32) {
  const c10::InferenceMode inference;
  const auto [dtype, tolerance] = GetParam();
  for (const char* name : {"grouped_queries", "bias"}) {
    const at::Tensor logits = golden_model(name, dtype)->logits(golden_tokens(name));
    EXPECT_EQ(logits.scalar_type(), dtype);
    EXPECT_LE(max_difference(logits, golden_logits(name)), tolerance) << name;
    EXPECT_LE(max_difference(golden_model(name, dtype)->token_nll(golden_tokens(name)),
                             reference_nll(golden_logits(name), golden_tokens(name))),
              2 * tolerance)
        << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, LlamaDtype,
                         testing::Values(std::pair(at::kDouble, 1e-4), std::pair(at::kFloat, 1e-4),
                                         std::pair(at::kHalf, 0.05),
                                         std::pair(at::kBFloat16, 0.4)));

TEST(LlamaModel, SitesSeeTheShapesTheyPromise) {
  const c10::InferenceMode inference;
  const auto model = golden_model("grouped_queries");
  const LlamaConfig& config = model->config();
  const std::int64_t heads = config.num_attention_heads, kv = config.num_key_value_heads;
  const std::int64_t e = config.head_dim;
  const std::map<ActivationSite, std::vector<std::int64_t>> promised = {
      {ActivationSite::attention_in, {1, kTokens, config.hidden_size}},
      {ActivationSite::o_in, {1, kTokens, heads * e}},
      {ActivationSite::mlp_in, {1, kTokens, config.hidden_size}},
      {ActivationSite::down_in, {1, kTokens, config.intermediate_size}},
      {ActivationSite::q, {1, heads, kTokens, e}},
      {ActivationSite::k, {1, kv, kTokens, e}},
      {ActivationSite::v, {1, kv, kTokens, e}}};
  std::vector<std::map<ActivationSite, std::vector<std::int64_t>>> seen(model->blocks().size());
  for (std::size_t layer = 0; layer < seen.size(); ++layer)
    for (ActivationSite site : all_sites())
      model->blocks()[layer].at(site).push_back({"recorder", [&, layer, site](const at::Tensor& x) {
                                                   seen[layer][site] = x.sizes().vec();
                                                   return x;
                                                 }});
  model->logits(golden_tokens("grouped_queries"));
  for (const auto& block : seen) EXPECT_EQ(block, promised);
}

TEST(LlamaModel, AStepAtEachSiteChangesTheLogits) {
  const c10::InferenceMode inference;
  const auto model = golden_model("plain");
  for (ActivationSite site : all_sites()) {
    auto& steps = model->blocks()[1].at(site);
    steps.push_back({"scale", [](const at::Tensor& x) { return x * 1.5; }});
    EXPECT_GT(max_difference(model->logits(golden_tokens("plain")), golden_logits("plain")), 1e-2)
        << activation_site_name(site);
    steps.clear();
  }
}

TEST(LlamaModel, StepsRunInTheOrderInWhichTheyWereAdded) {
  const c10::InferenceMode inference;
  const auto model = golden_model("plain");
  std::string order;
  for (const char* name : {"a", "b"})
    model->blocks()[0]
        .at(ActivationSite::down_in)
        .push_back({name, [&order, name](const at::Tensor& x) {
                      order += name;
                      return x;
                    }});
  model->logits(golden_tokens("plain"));
  EXPECT_EQ(order, "ab");
}

TEST(LlamaModel, ReplacedWeightsAreUsed) {
  const c10::InferenceMode inference;
  const auto model = golden_model("plain");
  for (auto& [name, linear] : model->blocks()[0].linears()) {
    const at::Tensor kept = linear->weight;
    linear->weight = kept * 1.5;
    EXPECT_GT(max_difference(model->logits(golden_tokens("plain")), golden_logits("plain")), 1e-2)
        << name;
    linear->weight = kept;
  }
}

TEST(LlamaModel, TiedHeadSharesTheEmbedding) {
  const auto model = golden_model("tied");
  EXPECT_EQ(model->lm_head().weight.data_ptr(), model->embedding().data_ptr());
}

TEST(LlamaModel, GradientsReachEveryWeightAndLeaveTheLogitsAsTheyWere) {
  const auto model = golden_model("grouped_queries");
  const at::Tensor tokens = golden_tokens("grouped_queries");
  std::vector<at::Tensor> weights = {model->embedding(), model->lm_head().weight,
                                     model->final_norm()};
  for (LlamaBlock& block : model->blocks()) {
    weights.push_back(block.input_norm);
    weights.push_back(block.post_attention_norm);
    for (auto& [name, linear] : block.linears()) weights.push_back(linear->weight);
  }
  for (at::Tensor& weight : weights) weight.requires_grad_(true);
  const at::AutoGradMode recorded(true);
  const at::Tensor logits = model->logits(tokens);
  EXPECT_LE(max_difference(logits.detach(), golden_logits("grouped_queries")), 1e-4);
  logits.square().mean().backward();
  for (const at::Tensor& weight : weights) {
    ASSERT_TRUE(weight.grad().defined());
    EXPECT_GT(weight.grad().abs().max().item<double>(), 0);
  }
}

TEST(LlamaModel, ATokenBeyondTheEmbeddingIsNamed) {
  const c10::InferenceMode inference;
  const auto model = golden_model("plain");
  for (std::int64_t wrong : {96, -1}) {
    at::Tensor tokens = at::zeros({2, 5}, at::kLong);
    tokens[1][3] = wrong;
    const std::string error = error_of([&] { model->logits(tokens); });
    EXPECT_NE(error.find("token id " + std::to_string(wrong)), std::string::npos) << error;
    EXPECT_NE(error.find("token 3 of sequence 1"), std::string::npos) << error;
    EXPECT_NE(error.find("0 to 95"), std::string::npos) << error;
  }
}

TEST(LlamaModel, AMissingTensorIsNamed) {
  ChangedCheckpoint checkpoint("plain");
  checkpoint.changed().qkv_bias = true;
  const std::string error = error_of([&] { LlamaModel::load(checkpoint, at::kFloat, at::kCPU); });
  EXPECT_NE(error.find("model.layers.0.self_attn.q_proj.bias"), std::string::npos) << error;
}

TEST(LlamaModel, AWrongShapeIsNamed) {
  ChangedCheckpoint checkpoint("plain");
  checkpoint.changed().intermediate_size = 65;
  const std::string error = error_of([&] { LlamaModel::load(checkpoint, at::kFloat, at::kCPU); });
  EXPECT_NE(error.find("model.layers.0.mlp.gate_proj.weight"), std::string::npos) << error;
  EXPECT_NE(error.find("[64, 32]"), std::string::npos) << error;
  EXPECT_NE(error.find("[65, 32]"), std::string::npos) << error;
}

TEST(LlamaModel, PackedWeightsGiveTheSameLogitsAndFollowChanges) {
  const c10::InferenceMode inference;
  auto model = golden_model("plain", at::kBFloat16);
  const at::Tensor tokens = golden_tokens("plain"), plain = model->logits(tokens);
  model->pack_weights();
  EXPECT_LE(max_difference(model->logits(tokens), plain), 0.02 * plain.abs().max().item<double>());
  model->blocks()[0].down.weight.zero_();
  const at::Tensor changed = model->logits(tokens);
  EXPECT_GT(max_difference(changed, plain), 0.1);
  model->pack_weights();
  EXPECT_LE(max_difference(model->logits(tokens), changed),
            0.02 * plain.abs().max().item<double>());
}

}  // namespace
}  // namespace harness::test
