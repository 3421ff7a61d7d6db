#include "harness/model/llama_text_model.h"

#include <ATen/ATen.h>

#include "tests/model/llama_golden.h"

namespace harness::test {
namespace {

class NoTokenizer : public Tokenizer {
 public:
  std::vector<std::int64_t> encode(std::string_view, bool) const override { return {}; }
  std::string decode(const std::vector<std::int64_t>&) const override { return {}; }
  std::int64_t vocabulary_size() const override { return 0; }
  std::optional<std::int64_t> bos() const override { return {}; }
  std::optional<std::int64_t> eos() const override { return {}; }
  bool adds_bos() const override { return false; }
  std::optional<std::int64_t> token_to_id(std::string_view) const override { return {}; }
  std::string digest() const override { return {}; }
};

TEST(LlamaTextModel, ShowsWhatTheLlamaComputes) {
  const auto tokenizer = std::make_shared<NoTokenizer>();
  const LlamaTextModel model(golden_model("plain"), tokenizer);
  EXPECT_EQ(&model.tokenizer(), tokenizer.get());
  EXPECT_EQ(model.vocabulary_size(), 96);
  EXPECT_EQ(model.max_tokens(), 256);
  EXPECT_LE(max_difference(model.logits(golden_tokens("plain")), golden_logits("plain")), 1e-4);
  EXPECT_EQ(model.token_nll(golden_tokens("plain")).sizes(), at::IntArrayRef({1, 47}));
}

TEST(LlamaTextModel, RecordsNoGradient) {
  LlamaTextModel model(golden_model("plain"), nullptr);
  model.llama().embedding().requires_grad_(true);
  EXPECT_FALSE(model.logits(golden_tokens("plain")).requires_grad());
}

}  // namespace
}  // namespace harness::test
