#include "harness/model/model.h"

#include <ATen/ATen.h>

namespace harness {

namespace {

/// Computes the whole sequence for each of its tokens.
class Recomputed : public GrowingSequences {
 public:
  explicit Recomputed(const Model& model) : model_(model) {}

  at::Tensor start(const std::vector<std::vector<std::int64_t>>& prompts) override {
    sequences_ = prompts;
    return last_logits();
  }
  at::Tensor next(const std::vector<std::int64_t>& rows,
                  const std::vector<std::int64_t>& tokens) override {
    std::vector<std::vector<std::int64_t>> kept;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      kept.push_back(std::move(sequences_[static_cast<std::size_t>(rows[i])]));
      kept.back().push_back(tokens[i]);
    }
    sequences_ = std::move(kept);
    return last_logits();
  }

 private:
  at::Tensor last_logits() const {
    std::vector<at::Tensor> rows;
    for (const auto& sequence : sequences_)
      rows.push_back(model_.logits(at::tensor(sequence, at::kLong).unsqueeze(0))[0][-1]);
    return at::stack(rows);
  }
  const Model& model_;
  std::vector<std::vector<std::int64_t>> sequences_;
};

}  // namespace

const ChatFormat& Model::chat() const { return chat_format("none"); }

std::vector<Generation> Model::generate(const std::vector<std::vector<std::int64_t>>& prompts,
                                        const GenerateOptions& options) const {
  Recomputed sequences(*this);
  return generate_with(sequences, tokenizer(), max_tokens(), prompts, options);
}

std::vector<double> Model::score(const std::vector<ScoreRequest>& requests) const {
  std::vector<double> scores;
  for (const ScoreRequest& request : requests) {
    check_score_request(request, max_tokens());
    std::vector<std::int64_t> ids = request.prompt;
    ids.insert(ids.end(), request.continuation.begin(), request.continuation.end());
    const at::Tensor nll = token_nll(at::tensor(ids, at::kLong).unsqueeze(0))[0];
    const auto first = static_cast<std::int64_t>(request.prompt.size()) - 1;
    scores.push_back(-nll.slice(0, first).sum(at::kDouble).item<double>());
  }
  return scores;
}

}  // namespace harness
