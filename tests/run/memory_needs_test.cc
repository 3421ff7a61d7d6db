#include "harness/run/memory_needs.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "harness/model/kv_cache.h"
#include "harness/model/llama.h"
#include "harness/model/tensor_checkpoint.h"
#include "tests/model/counting_allocator.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

LlamaConfig shape(std::int64_t heads, std::int64_t inner) {
  LlamaConfig config;
  config.hidden_size = 128;
  config.intermediate_size = inner;
  config.num_hidden_layers = 3;
  config.num_attention_heads = heads;
  config.num_key_value_heads = 2;
  config.head_dim = 32;
  config.vocab_size = 1000;
  config.max_position_embeddings = 1024;
  config.tie_word_embeddings = true;
  return config;
}

std::unique_ptr<LlamaModel> random_model(const LlamaConfig& config, at::ScalarType dtype) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, shape] : expected_tensors(config)) tensors[name] = at::randn(shape) * 0.1;
  return LlamaModel::load(TensorCheckpoint(config, tensors), dtype, at::kCPU);
}

// Llama-3.2-1B has 1,235,814,400 parameters, Qwen2.5-7B 7,615,616,512 (their model cards).
TEST(MemoryNeeds, ParametersAreThoseOfTheModelCards) {
  LlamaConfig llama;
  llama.hidden_size = 2048;
  llama.intermediate_size = 8192;
  llama.num_hidden_layers = 16;
  llama.num_attention_heads = 32;
  llama.num_key_value_heads = 8;
  llama.head_dim = 64;
  llama.vocab_size = 128256;
  llama.tie_word_embeddings = true;
  EXPECT_EQ(parameter_count(llama), 1'235'814'400);
  EXPECT_EQ(weight_bytes(llama, at::kBFloat16), 2'471'628'800);
  LlamaConfig qwen;
  qwen.hidden_size = 3584;
  qwen.intermediate_size = 18944;
  qwen.num_hidden_layers = 28;
  qwen.num_attention_heads = 28;
  qwen.num_key_value_heads = 4;
  qwen.head_dim = 128;
  qwen.vocab_size = 152064;
  qwen.qkv_bias = true;
  EXPECT_EQ(parameter_count(qwen), 7'615'616'512);
}

struct Shape {
  std::int64_t heads, inner;
};
class MemoryOfARun : public testing::TestWithParam<Shape> {};

// What torch holds, against what is said before: within a quarter.
TEST_P(MemoryOfARun, IsWhatWasSaid) {
  const LlamaConfig config = shape(GetParam().heads, GetParam().inner);
  constexpr at::ScalarType dtype = at::kFloat;
  constexpr std::int64_t kTokens = 768;
  const c10::InferenceMode no_gradients;
  CountingAllocator allocator;
  auto expect_near = [&](std::int64_t said, const char* what) {
    const double ratio = static_cast<double>(allocator.peak()) / static_cast<double>(said);
    EXPECT_GT(ratio, 0.75) << what;
    EXPECT_LT(ratio, 1.25) << what;
  };
  const auto model = random_model(config, dtype);
  EXPECT_EQ(allocator.held(), static_cast<std::size_t>(weight_bytes(config, dtype)));
  const at::Tensor tokens = at::randint(1000, {1, kTokens}, at::kLong);
  allocator.reset_peak();
  model->token_nll(tokens);
  expect_near(perplexity_bytes(config, kTokens, dtype), "perplexity");
  allocator.reset_peak();
  KvCache cache(*model, 1);
  model->hidden(tokens.slice(1, 0, kTokens - 1), cache);
  cache.advance({kTokens - 1});
  expect_near(generation_bytes(config, kTokens, dtype), "generation");
}

// Where the MLP is the widest, and where attention is.
INSTANTIATE_TEST_SUITE_P(Shapes, MemoryOfARun, testing::Values(Shape{2, 1024}, Shape{8, 128}));

}  // namespace
}  // namespace harness::test
