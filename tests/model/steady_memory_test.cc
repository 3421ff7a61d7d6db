#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include "harness/core/rng.h"
#include "harness/model/llama_text_model.h"
#include "tests/model/byte_tokenizer.h"
#include "tests/model/llama_golden.h"

// What is done over and over takes no more memory than it took at first: not for tensors, and not
// for what libraries keep of the shapes that they have seen.

namespace harness::test {
namespace {

using Ids = std::vector<std::int64_t>;

// What the C library itself keeps at hand counts as allocated.
constexpr std::int64_t kNoise = 64'000;

class SteadyMemory : public testing::TestWithParam<at::ScalarType> {
 protected:
  SteadyMemory() : model_(golden_model("grouped_queries", GetParam()), tokenizer()) {
    model_.llama().pack_weights();
  }
  static std::shared_ptr<const Tokenizer> tokenizer() {
    return std::make_shared<ByteTokenizer>(std::nullopt);
  }
  /// Bytes that are allocated.
  static std::int64_t allocated() {
    const struct mallinfo2 info = mallinfo2();
    return static_cast<std::int64_t>(info.uordblks + info.hblkhd);
  }
  /// By how much they grow from after `first` runs to after `last`.
  template <class Run>
  static std::int64_t growth(int first, int last, const Run& run) {
    for (int i = 0; i < first; ++i) run(i);
    const std::int64_t before = allocated();
    for (int i = first; i < last; ++i) run(i);
    return allocated() - before;
  }
  Ids ids(Philox& draws, std::int64_t count) const {
    Ids ids(static_cast<std::size_t>(count));
    for (std::int64_t& id : ids)
      id = static_cast<std::int64_t>(draws.uniform() *
                                     static_cast<double>(model_.vocabulary_size()));
    return ids;
  }

  LlamaTextModel model_;
};

TEST_P(SteadyMemory, OfWindows) {
  const at::Tensor tokens = golden_tokens("grouped_queries");
  EXPECT_LT(growth(3, 40, [&](int) { model_.token_nll(tokens); }), kNoise);
}

// Prompts of ever other lengths.
TEST_P(SteadyMemory, OfGeneration) {
  auto run = [&](int round) {
    Philox draws(1, "test", "prompts", static_cast<std::uint64_t>(round));
    std::vector<Ids> prompts;
    for (int i = 0; i < 4; ++i)
      prompts.push_back(ids(draws, static_cast<std::int64_t>(20 + draws.uniform() * 60)));
    model_.generate(prompts, {.max_new_tokens = 10});
  };
  EXPECT_LT(growth(10, 60, run), 8'000'000);
}

// Batches of ever other lengths: each would leave its own shapes behind.
TEST_P(SteadyMemory, OfScoring) {
  model_.score_by({.batch_tokens = 256});
  auto run = [&](int round) {
    Philox draws(1, "test", "requests", static_cast<std::uint64_t>(round));
    std::vector<ScoreRequest> requests;
    for (int i = 0; i < 40; ++i) {
      const auto length = static_cast<std::int64_t>(5 + draws.uniform() * 60);
      requests.push_back({ids(draws, length), ids(draws, 1 + length % 7)});
    }
    const Ids shared = ids(draws, 33 + round);
    for (int i = 0; i < 40; ++i) {
      requests.push_back({shared, ids(draws, 10 + i % 9)});
      requests.back().prompt.push_back(i);
    }
    model_.score(requests);
  };
  EXPECT_LT(growth(4, 20, run), 8'000'000);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, SteadyMemory, testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& info) { return std::string(c10::toString(info.param)); });

}  // namespace
}  // namespace harness::test
