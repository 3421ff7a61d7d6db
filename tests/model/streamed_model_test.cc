// Models whose blocks come into memory one by one.

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "harness/model/llama_text_model.h"
#include "harness/model/tensor_checkpoint.h"
#include "harness/model/weight_memory.h"
#include "tests/model/byte_tokenizer.h"
#include "tests/model/counting_allocator.h"
#include "tests/support/support.h"

namespace harness::test {
namespace {

using Ids = std::vector<std::int64_t>;
using testing::HasSubstr;

LlamaConfig many_blocks() {
  LlamaConfig config;
  config.hidden_size = 64;
  config.intermediate_size = 160;
  config.num_hidden_layers = 8;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 16;
  config.vocab_size = 256;
  config.max_position_embeddings = 512;
  return config;
}

TensorCheckpoint random_checkpoint(const LlamaConfig& config) {
  const at::Generator generator = at::detail::createCPUGenerator(1);
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, shape] : expected_tensors(config))
    tensors[name] = at::randn(shape, generator, at::kFloat) * (shape.size() == 1 ? 1.0 : 0.2);
  return {config, std::move(tensors)};
}

struct Shape {
  const char* name;
  void (*change)(LlamaConfig&);
};
const Shape kShapes[] = {
    {"plain", [](LlamaConfig&) {}},
    {"tied", [](LlamaConfig& c) { c.tie_word_embeddings = true; }},
    {"biases", [](LlamaConfig& c) { c.qkv_bias = c.o_bias = c.mlp_bias = true; }},
    {"norms of q and k, sliding window",
     [](LlamaConfig& c) {
       c.qk_norm = true;
       c.sliding_window = 5;
       c.layer_slides.assign(8, true);
     }},
};

class Streamed : public testing::TestWithParam<std::tuple<Shape, at::ScalarType>> {
 protected:
  std::unique_ptr<LlamaModel> load(bool streams) const {
    return load_within(streams ? std::optional(limit()) : std::nullopt);
  }
  std::unique_ptr<LlamaModel> load_within(std::optional<std::int64_t> limit) const {
    return LlamaModel::load(checkpoint_, dtype_, at::kCPU, limit);
  }
  std::int64_t block_bytes() const {
    return block_parameter_count(config_) * static_cast<std::int64_t>(c10::elementSize(dtype_));
  }
  std::int64_t limit() const { return streamed_weight_bytes(config_, dtype_, at::kCPU); }

  static LlamaConfig config_of(const Shape& shape) {
    LlamaConfig config = many_blocks();
    shape.change(config);
    return config;
  }
  const LlamaConfig config_ = config_of(std::get<0>(GetParam()));
  const at::ScalarType dtype_ = std::get<1>(GetParam());
  const TensorCheckpoint checkpoint_ = random_checkpoint(config_);
  const TemporaryFolder cache_;
  const ScopedVariable variable_{"HARNESS_CACHE", cache_.path().string()};
};

at::Tensor tokens(std::int64_t rows, std::int64_t length, std::uint64_t seed = 2) {
  return at::randint(256, {rows, length}, at::detail::createCPUGenerator(seed), at::kLong);
}

/// More than a model with that limit takes at once.
std::vector<at::Tensor> batches_of(const LlamaModel& model) {
  std::vector<at::Tensor> batches;
  std::int64_t all = 0;
  for (std::uint64_t i = 0; all <= 2 * model.tokens_together(); ++i) {
    batches.push_back(tokens(1 + static_cast<std::int64_t>(i % 3), i % 2 == 0 ? 200 : 57, i));
    all += batches.back().numel();
  }
  return batches;
}

// Each by the whole interface of evals; packed, as a run does it.
TEST_P(Streamed, GivesTheBitsOfTheModelInMemory) {
  auto text_model = [&](bool streams) {
    auto llama = load(streams);
    EXPECT_EQ(llama->streams(), streams);
    llama->pack_weights();
    return std::make_unique<LlamaTextModel>(std::move(llama), std::make_shared<ByteTokenizer>());
  };
  const auto resident = text_model(false), streamed = text_model(true);

  EXPECT_TRUE(at::equal(streamed->logits(tokens(2, 12)), resident->logits(tokens(2, 12))));
  const std::vector<at::Tensor> batches = batches_of(streamed->llama());
  ASSERT_GT(batches.size(), 3u);
  double share = 0;
  const auto nll = streamed->token_nll_together(batches, [&](double done) {
    EXPECT_GT(done, share);
    share = done;
  });
  EXPECT_EQ(share, 1);
  for (std::size_t i = 0; i < batches.size(); ++i)
    EXPECT_TRUE(at::equal(nll[i], resident->token_nll(batches[i]))) << i;

  const std::vector<Ids> prompts = {{5, 17, 80, 3}, {9}, {33, 34, 35, 36, 37, 38, 39}, {60, 2}};
  std::vector<ScoreRequest> requests;
  for (const Ids& prompt : prompts)
    for (const Ids& continuation : std::vector<Ids>{{7, 8, 9}, {11}, {}})
      requests.push_back({prompt, continuation});
  // In small batches, some of which go on from a context.
  const Ids shared(100, 42);
  for (std::int64_t i = 0; i < 60; ++i) {
    requests.push_back({shared, {i, 7, 8}});
    requests.back().prompt.push_back(i);
  }
  for (LlamaTextModel* model : {resident.get(), streamed.get()}) model->score_by({64});
  const auto expected_scores = resident->score(requests), scores = streamed->score(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(scores[i].tokens, expected_scores[i].tokens) << i;
    EXPECT_EQ(scores[i].greedy, expected_scores[i].greedy) << i;
  }
  EXPECT_TRUE(
      at::equal(streamed->next_token_logits(prompts), resident->next_token_logits(prompts)));
  EXPECT_TRUE(at::equal(streamed->logits_after(prompts, {{1, 2}, {3}}),
                        resident->logits_after(prompts, {{1, 2}, {3}})));
  const GenerateOptions options{.max_new_tokens = 12};
  const auto expected = resident->generate(prompts, options);
  const auto found = streamed->generate(prompts, options);
  for (std::size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(found[i].tokens, expected[i].tokens);
}

// Twice, so that a changed block is read and written again; the second time with a step.
TEST_P(Streamed, AChangedBlockStaysAsItIsLeft) {
  const c10::InferenceMode no_gradients;
  const auto resident = load(false), streamed = load(true);
  const at::Tensor before = resident->logits(tokens(2, 12));
  for (const auto& model : {resident.get(), streamed.get()}) {
    model->pack_weights();  // and is given up for the change
    for (const double scale : {1.5, 0.7})
      for (const std::size_t layer : {1, 6})
        model->change_block(layer, [&](LlamaBlock& block) {
          for (const auto& [name, tensor] : block.named_tensors()) *tensor = *tensor * scale;
          if (scale < 1)
            block.at(ActivationSite::down_in).push_back({"half", [](const at::Tensor& x) {
                                                           return x / 2;
                                                         }});
        });
    model->steps(3, ActivationSite::v).push_back({"turn", [](const at::Tensor& x) { return -x; }});
  }
  const at::Tensor after = resident->logits(tokens(2, 12));
  EXPECT_FALSE(at::allclose(after, before, 0.1, 0.1));
  EXPECT_TRUE(at::equal(streamed->logits(tokens(2, 12)), after));
  for (std::size_t layer = 0; layer < resident->layers(); ++layer)
    streamed->read_block(layer, [&](const LlamaBlock& block) {
      LlamaBlock found = block;
      const auto ours = found.named_tensors(), theirs = resident->blocks()[layer].named_tensors();
      ASSERT_EQ(ours.size(), theirs.size());
      for (std::size_t i = 0; i < ours.size(); ++i)
        EXPECT_TRUE(at::equal(*ours[i].second, *theirs[i].second)) << layer << ours[i].first;
    });
}

// Whatever is read or changed between: a block that was on its way then is not the one that comes.
TEST_P(Streamed, GivesTheSameBitsWhereTheNextBlockIsFetchedAhead) {
  const c10::InferenceMode no_gradients;
  const auto plain = load(true), ahead = load_within(limit() + block_bytes());
  ASSERT_TRUE(ahead->streams());
  for (LlamaModel* model : {plain.get(), ahead.get()})
    for (const std::size_t layer : {4, 2})
      model->change_block(layer, [](LlamaBlock& block) { block.up.weight.mul_(1.5); });
  const at::Tensor ids = tokens(2, 12);
  EXPECT_TRUE(at::equal(ahead->logits(ids), plain->logits(ids)));
  auto stop = [](double share) {
    if (share > 0.4) throw Error("stopped");
  };
  EXPECT_THROW(ahead->token_nll_together({ids}, stop), Error);
  ahead->read_block(0, [&](const LlamaBlock& block) {
    plain->read_block(0, [&](const LlamaBlock& expected) {
      EXPECT_TRUE(at::equal(block.q.weight, expected.q.weight));
    });
  });
  EXPECT_TRUE(at::equal(ahead->logits(ids), plain->logits(ids)));
}

class StreamedWeights : public Streamed {};

// What torch holds, with next to nothing beside weights: 3 tokens. In float32, whose products need
// no memory of oneDNN's.
TEST_P(StreamedWeights, AreNoMoreThanTheLimit) {
  constexpr std::size_t kStates = 20'000;
  const c10::InferenceMode no_gradients;
  const at::Tensor few = tokens(1, 3);
  auto peak = [&](std::optional<std::int64_t> limit) {
    CountingAllocator allocator;
    const auto model = load_within(limit);
    for (std::size_t layer = 0; layer < model->layers(); ++layer)
      model->change_block(layer, [](LlamaBlock& block) { block.up.weight.mul_(2); });
    model->logits(few);
    // Time for a block that is fetched ahead to be there.
    model->token_nll_together(
        {few, few}, [](double) { std::this_thread::sleep_for(std::chrono::milliseconds(10)); });
    return allocator.peak();
  };
  const auto most = static_cast<std::size_t>(limit());
  const auto block = static_cast<std::size_t>(block_bytes());
  EXPECT_LE(peak(limit()), most + kStates);
  EXPECT_GT(peak({}), 3 * most / 2);
  // The limit is no larger than it has to be.
  EXPECT_GT(peak(limit()) + kStates + block / 4, most);
  // With room for one block more, and only then, the next one is there too.
  EXPECT_LE(peak(limit() + block_bytes() - 1), most + kStates);
  EXPECT_GT(peak(limit() + block_bytes()), most + block / 2);
  EXPECT_LE(peak(limit() + block_bytes()), most + block + kStates);
}

INSTANTIATE_TEST_SUITE_P(Models, Streamed,
                         testing::Combine(testing::ValuesIn(kShapes),
                                          testing::Values(at::kFloat, at::kBFloat16)));
INSTANTIATE_TEST_SUITE_P(Models, StreamedWeights,
                         testing::Combine(testing::ValuesIn(kShapes), testing::Values(at::kFloat)));

TEST(MemoryLimit, DecidesWhetherAModelStreams) {
  const LlamaConfig config = many_blocks();
  const TensorCheckpoint checkpoint = random_checkpoint(config);
  const std::int64_t all = weight_bytes(config, at::kFloat);
  const std::int64_t least = streamed_weight_bytes(config, at::kFloat, at::kCPU);
  EXPECT_LT(least, all / 2);
  auto streams = [&](std::optional<std::int64_t> limit) {
    return LlamaModel::load(checkpoint, at::kFloat, at::kCPU, limit)->streams();
  };
  EXPECT_FALSE(streams({}));
  EXPECT_FALSE(streams(all));
  EXPECT_TRUE(streams(all - 1));
  EXPECT_TRUE(streams(least));
  EXPECT_THAT(error_of([&] { streams(least - 1); }),
              testing::AllOf(HasSubstr("memory_limit"), HasSubstr(std::to_string(least))));
}

TEST(MemoryLimit, AllBlocksAtOnceAreRefused) {
  const LlamaConfig config = many_blocks();
  const TensorCheckpoint checkpoint = random_checkpoint(config);
  const auto model =
      LlamaModel::load(checkpoint, at::kFloat, at::kCPU, weight_bytes(config, at::kFloat) - 1);
  EXPECT_THAT(error_of([&] { model->blocks(); }), HasSubstr("memory_limit"));
  EXPECT_THAT(error_of([&] { model->named_tensors(); }), HasSubstr("memory_limit"));
}

}  // namespace
}  // namespace harness::test
