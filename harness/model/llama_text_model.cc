#include "harness/model/llama_text_model.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "harness/core/error.h"
#include "harness/core/log.h"
#include "harness/model/kv_cache.h"

namespace harness {

namespace {

using Ids = std::vector<std::int64_t>;

/// int64 [rows, longest]; behind the shorter ones stand zeros.
at::Tensor padded(const std::vector<Ids>& rows) {
  std::size_t longest = 0;
  for (const Ids& row : rows) longest = std::max(longest, row.size());
  const at::Tensor tokens = at::zeros(
      {static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(longest)}, at::kLong);
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy(rows[i].begin(), rows[i].end(),
              tokens[static_cast<std::int64_t>(i)].data_ptr<std::int64_t>());
  return tokens;
}

class CachedSequences : public GrowingSequences {
 public:
  explicit CachedSequences(const LlamaModel& llama) : llama_(llama) {}

  at::Tensor start(const std::vector<Ids>& prompts) override {
    cache_.emplace(llama_, static_cast<std::int64_t>(prompts.size()));
    return last_logits(prompts);
  }
  at::Tensor next(const Ids& rows, const Ids& tokens) override {
    cache_->select(rows);
    std::vector<Ids> one_each;
    for (std::int64_t token : tokens) one_each.push_back({token});
    return last_logits(one_each);
  }

 private:
  at::Tensor last_logits(const std::vector<Ids>& rows) {
    const at::Tensor states = llama_.hidden(padded(rows), *cache_);
    Ids counts;
    std::vector<at::Tensor> last;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      counts.push_back(static_cast<std::int64_t>(rows[i].size()));
      last.push_back(states[static_cast<std::int64_t>(i)][counts.back() - 1]);
    }
    cache_->advance(counts);
    return llama_.head(at::stack(last));
  }

  const LlamaModel& llama_;
  std::optional<KvCache> cache_;
};

/// Weights laid out for the steps of a generation, as long as it lives.
class PackedForSteps {
 public:
  explicit PackedForSteps(LlamaModel& llama) : llama_(llama) { llama_.pack_for_few_rows(); }
  ~PackedForSteps() { llama_.drop_packed_for_few_rows(); }
  PackedForSteps(const PackedForSteps&) = delete;
  PackedForSteps& operator=(const PackedForSteps&) = delete;

 private:
  LlamaModel& llama_;
};

/// Rows that logits_after() reads at once: copies of K and V of 2,000 tokens at most for the
/// prompts of a question.
constexpr std::size_t kBranchRows = 128;

/// Logits after each prompt and each beginning: float32 [prompts, beginnings, vocabulary].
at::Tensor branch_logits(const LlamaModel& llama, const std::vector<Ids>& prompts,
                         const std::vector<Ids>& beginnings) {
  KvCache cache(llama, static_cast<std::int64_t>(prompts.size()));
  const at::Tensor read = llama.hidden(padded(prompts), cache);
  Ids lengths;
  for (const Ids& prompt : prompts) lengths.push_back(static_cast<std::int64_t>(prompt.size()));
  cache.advance(lengths);

  std::vector<Ids> rows;
  Ids of_prompt;
  for (std::size_t i = 0; i < prompts.size(); ++i)
    for (const Ids& beginning : beginnings)
      if (!beginning.empty()) {
        rows.push_back(beginning);
        of_prompt.push_back(static_cast<std::int64_t>(i));
      }
  at::Tensor branches;
  if (!rows.empty()) {
    cache.select(of_prompt);
    branches = llama.hidden(padded(rows), cache);
  }
  std::vector<at::Tensor> last;
  std::int64_t row = 0;
  for (std::size_t i = 0; i < prompts.size(); ++i)
    for (const Ids& beginning : beginnings)
      last.push_back(beginning.empty()
                         ? read[static_cast<std::int64_t>(i)][lengths[i] - 1]
                         : branches[row++][static_cast<std::int64_t>(beginning.size()) - 1]);
  return llama.head(at::stack(last))
      .to(at::kCPU, at::kFloat)
      .view({static_cast<std::int64_t>(prompts.size()),
             static_cast<std::int64_t>(beginnings.size()), -1});
}

}  // namespace

std::vector<Generation> generate(const LlamaModel& llama, const Tokenizer& tokenizer,
                                 const std::vector<Ids>& prompts, const GenerateOptions& options) {
  const c10::InferenceMode no_gradients;
  CachedSequences sequences(llama);
  return generate_with(sequences, tokenizer, llama.config().max_position_embeddings, prompts,
                       options);
}

LlamaTextModel::LlamaTextModel(std::unique_ptr<LlamaModel> llama,
                               std::shared_ptr<const Tokenizer> tokenizer,
                               const std::optional<ChatTemplate>& chat_template)
    : llama_(std::move(llama)), tokenizer_(std::move(tokenizer)) {
  try {
    chat_ = chat_template ? open_chat_format(*chat_template, *tokenizer_) : chat_format("none");
  } catch (const Error& error) {
    chat_problem_ = error.what();
  }
}

const ChatFormat& LlamaTextModel::chat() const {
  if (!chat_) throw Error(chat_problem_);
  return *chat_;
}

at::Tensor LlamaTextModel::logits(const at::Tensor& tokens) const {
  const c10::InferenceMode no_gradients;
  return llama_->logits(tokens).cpu();
}

void LlamaTextModel::read_logits(
    const at::Tensor& tokens,
    const std::function<void(std::int64_t first, const at::Tensor& logits)>& take) const {
  const c10::InferenceMode no_gradients;
  const at::Tensor states = llama_->hidden(tokens).flatten(0, 1);
  const std::int64_t chunk = nll_chunk_tokens(vocabulary_size(), at::kFloat);
  for (std::int64_t first = 0; first < states.size(0); first += chunk)
    take(first, llama_->head(states.slice(0, first, first + chunk)));
}

at::Tensor LlamaTextModel::last_logits(const at::Tensor& tokens) const {
  return last_logits_together({tokens}).front();
}

std::vector<at::Tensor> LlamaTextModel::last_logits_together(
    const std::vector<at::Tensor>& batches) const {
  const c10::InferenceMode no_gradients;
  std::vector<Pass> passes;
  for (const at::Tensor& tokens : batches) passes.push_back({tokens});
  std::vector<at::Tensor> results = llama_->hidden_together(passes);
  for (at::Tensor& x : results) x = llama_->head(x.select(1, -1)).cpu();
  return results;
}

at::Tensor LlamaTextModel::token_nll(const at::Tensor& tokens) const {
  const c10::InferenceMode no_gradients;
  return llama_->token_nll(tokens).cpu();
}

std::vector<at::Tensor> LlamaTextModel::token_nll_together(const std::vector<at::Tensor>& batches,
                                                           const ShareDone& done) const {
  const c10::InferenceMode no_gradients;
  std::vector<at::Tensor> results = llama_->token_nll_together(batches, done);
  for (at::Tensor& nll : results) nll = nll.cpu();
  return results;
}

std::vector<Generation> LlamaTextModel::generate(const std::vector<Ids>& prompts,
                                                 const GenerateOptions& options) const {
  // Packing takes as long as one or two steps that need it.
  const PackedForSteps packed(*llama_);
  return harness::generate(*llama_, *tokenizer_, prompts, options);
}

at::Tensor LlamaTextModel::logits_after(const std::vector<Ids>& prompts,
                                        const std::vector<Ids>& beginnings) const {
  if (beginnings == std::vector<Ids>{Ids{}}) return next_token_logits(prompts).unsqueeze(1);
  const c10::InferenceMode no_gradients;
  for (const Ids& prompt : prompts)
    for (Ids beginning : beginnings) {
      beginning.push_back(0);  // for the token that the logits are of
      check_score_request({prompt, beginning}, max_tokens());
    }
  const std::size_t step = std::max<std::size_t>(1, kBranchRows / beginnings.size());
  std::vector<at::Tensor> parts;
  for (std::size_t begin = 0; begin < prompts.size(); begin += step) {
    check_interrupted();
    const auto first = prompts.begin() + static_cast<std::ptrdiff_t>(begin);
    const std::size_t count = std::min(step, prompts.size() - begin);
    parts.push_back(branch_logits(
        *llama_, std::vector<Ids>(first, first + static_cast<std::ptrdiff_t>(count)), beginnings));
  }
  return at::cat(parts);
}

std::vector<Score> LlamaTextModel::score(const std::vector<ScoreRequest>& requests,
                                         Progress& progress) const {
  return harness::score(*llama_, requests, score_options_, progress);
}

}  // namespace harness
