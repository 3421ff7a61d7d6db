#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <cmath>

#include "harness/core/log.h"
#include "harness/model/kv_cache.h"
#include "harness/model/llama_text_model.h"
#include "harness/model/row_blocks.h"
#include "harness/model/score.h"

namespace harness {

namespace {

/// K and V of the contexts that the batches of a plan go on from.
class Contexts {
 public:
  Contexts(const LlamaModel& llama, const ScorePlan& plan)
      : llama_(llama), plan_(plan), cache_(llama, 1) {}

  /// The context and those that it goes on from: computes what is not held. Null for -1.
  const KvCache* hold(std::int64_t context) {
    const std::vector<std::int64_t> chain = plan_.chain(context);
    if (chain.empty()) return nullptr;
    const auto kept = static_cast<std::size_t>(
        std::mismatch(chain.begin(), chain.end(), held_.begin(), held_.end()).first -
        chain.begin());
    cache_.truncate(kept == 0 ? 0 : plan_.contexts()[chain[kept - 1]].end());
    for (std::size_t i = kept; i < chain.size(); ++i) {
      const std::vector<std::int64_t>& tokens = plan_.contexts()[chain[i]].tokens;
      llama_.hidden(at::tensor(tokens, at::kLong).unsqueeze(0), cache_);
      cache_.advance({static_cast<std::int64_t>(tokens.size())});
    }
    held_ = chain;
    return &cache_;
  }

 private:
  const LlamaModel& llama_;
  const ScorePlan& plan_;
  KvCache cache_;
  std::vector<std::int64_t> held_;
};

/// In the order of the batch's requests.
/// @param states [tokens, hidden] of its forest
std::vector<Score> score_batch(const LlamaModel& llama, const ScorePlan::Batch& batch,
                               const at::Tensor& states) {
  const std::int64_t most = nll_chunk_tokens(llama.config().vocab_size, llama.dtype());
  const auto limit = static_cast<std::size_t>(most - most % std::min(most, kRowBlock));
  std::vector<Score> scores(batch.requests.size());
  for (std::size_t begin = 0, end; begin < batch.targets.size(); begin = end) {
    // Several targets may follow the same token: its logits are computed once.
    std::vector<std::int64_t> places, rows, tokens;
    for (end = begin; end < batch.targets.size() && rows.size() < limit; ++end) {
      const ScorePlan::Target& target = batch.targets[end];
      if (places.empty() || places.back() != target.before) places.push_back(target.before);
      rows.push_back(static_cast<std::int64_t>(places.size()) - 1);
      tokens.push_back(target.token);
    }
    auto select = [&](const at::Tensor& from, const std::vector<std::int64_t>& index) {
      return from.index_select(0, at::tensor(index, at::kLong).to(llama.device()));
    };
    const std::size_t own = places.size();
    if (limit >= kRowBlock)
      places.resize(
          static_cast<std::size_t>(whole_blocks(static_cast<std::int64_t>(own), kRowBlock)),
          places.back());
    at::Tensor logits = llama.head(select(states, places));
    logits = own < rows.size() ? select(logits, rows) : logits.slice(0, 0, own);
    const TargetScores found = score_targets(logits, tokens);
    for (std::size_t i = 0; i < tokens.size(); ++i)
      scores[batch.targets[begin + i].request].add(found.log_p[i], found.likeliest[i]);
  }
  return scores;
}

/// A NaN among the keys of a batch reaches queries that do not see it (a weight of 0 does not undo
/// it): whoever has one is computed alone.
void undo_foreign_nan(const LlamaModel& llama, const std::vector<ScoreRequest>& requests,
                      const ScorePlan::Batch& batch, std::vector<Score>& scores) {
  if (batch.requests.size() == 1) return;
  for (std::size_t i = 0; i < scores.size(); ++i)
    if (std::isnan(scores[i].log_likelihood)) {
      const std::vector<ScoreRequest> alone = {requests[batch.requests[i]]};
      const ScorePlan::Batch only = ScorePlan(alone, 1).batch(0);
      scores[i] = score_batch(llama, only, llama.hidden(only.forest, nullptr)[0])[0];
    }
}

}  // namespace

std::vector<Score> score(const LlamaModel& llama, const std::vector<ScoreRequest>& requests,
                         const ScoreOptions& options, Progress& progress) {
  const c10::InferenceMode no_gradients;
  for (const ScoreRequest& request : requests)
    check_score_request(request, llama.config().max_position_embeddings);
  const ScorePlan plan(requests, options.batch_tokens);
  Contexts contexts(llama, plan);
  std::vector<Score> scores(requests.size());
  std::size_t done = plan.empty().size();
  auto take = [&](const ScorePlan::Batch& batch, std::vector<Score> found) {
    for (std::size_t k = 0; k < batch.requests.size(); ++k)
      scores[batch.requests[k]] = std::move(found[k]);
    done += batch.requests.size();
    progress.update("score", static_cast<double>(done), static_cast<double>(requests.size()));
  };
  // Batches of one context that wait, until there are as many as the model is best given at once.
  std::vector<ScorePlan::Batch> waiting;
  std::int64_t tokens = 0;
  auto compute = [&] {
    if (waiting.empty()) return;
    check_interrupted();
    const KvCache* context = contexts.hold(waiting.front().context);
    std::vector<Pass> passes;
    for (const ScorePlan::Batch& batch : waiting)
      passes.push_back({{}, nullptr, &batch.forest, context});
    const std::vector<at::Tensor> states = llama.hidden_together(passes);
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      const ScorePlan::Batch& batch = waiting[i];
      std::vector<Score> found = score_batch(llama, batch, states[i][0]);
      undo_foreign_nan(llama, requests, batch, found);
      if (options.journal) options.journal->add(batch.digest, found);
      take(batch, std::move(found));
    }
    waiting.clear();
    tokens = 0;
  };
  for (std::size_t i = 0; i < plan.batches(); ++i) {
    ScorePlan::Batch batch = plan.batch(i);
    if (options.journal)
      if (auto found = options.journal->find(batch.digest)) {
        take(batch, std::move(*found));
        continue;
      }
    if (!waiting.empty() && batch.context != waiting.front().context) compute();
    tokens += batch.forest.size();
    waiting.push_back(std::move(batch));
    if (tokens >= llama.tokens_together()) compute();
  }
  compute();
  return scores;
}

}  // namespace harness
