#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/config.h"
#include "harness/data/decisions.h"
#include "harness/plugin/choices.h"
#include "harness/plugin/eval.h"

namespace harness {

/// Options of every eval that measures decisions.
struct DecisionOptions {
  std::string data = "auto";
  std::string split = "test";
  std::optional<std::int64_t> limit;

  template <class V>
  void visit(V&& v) {
    v("data", data, {.doc = "whose items: auto (the model's pair), world or smollm2-safety"});
    v("split", split,
      {.doc = "test, or validation (what training may look at)",
       .choices = {"test", "validation"}});
    v("limit", limit, {.doc = "the first n items of each set only", .min = 1});
  }
};

/// An eval of what a model says next on one or more sets of items. The protocol's name is the first
/// set's, then "/validation" and "/first-<limit>" where these are asked for.
class DecisionEval : public Eval {
 public:
  /// @param name  of the eval, for messages
  DecisionEval(std::string name, std::vector<DecisionTask> tasks, DecisionOptions options)
      : name_(std::move(name)), tasks_(std::move(tasks)), options_(std::move(options)) {}

  std::string protocol(const DataContext& data) const override;
  int version() const override { return 1; }
  EvalTraits traits() const override;
  void check(const DataContext& data, Problems& problems) const override;
  std::vector<DataUse> data(const DataContext& data) const override;
  bool chooses(const DataContext& data) const override;

 protected:
  /// The items of a task that are to be measured.
  DecisionSet load(DecisionTask task, const EvalContext& context) const;

 private:
  /// The items of a task, no more than `limit`.
  /// @throws Error when `data` is auto and the model belongs to no pair
  DecisionSet load(DecisionTask task, const DataContext& data) const;

  std::string name_;
  std::vector<DecisionTask> tasks_;
  DecisionOptions options_;
};

/// How a model's answer begins.
struct OpeningScore {
  /// log p - log(1 - p), p the probability that the answer begins with one of the set's openings.
  double log_odds = 0;
  bool greedy = false;  // whether greedy decoding begins so
};

/// One score an item. Every token of an opening is weighed against the whole vocabulary, after each
/// distinct beginning of the openings. Where the set has greedy_tokens, so many are generated and
/// the text is judged; it is not kept.
/// @throws Error when two openings have the same tokens, or one is the beginning of another
std::vector<OpeningScore> score_openings(EvalContext& context, const DecisionSet& set);

/// What a model says of an item's options, each the next token.
struct OptionScores {
  std::vector<double> logits;
  double log_sum = 0;  // of exp of the logits of the whole vocabulary
};

/// One an item.
/// @throws Error when an option is not one token of this tokenizer, or two are the same
std::vector<OptionScores> score_options(EvalContext& context, const DecisionSet& set);

/// The mean of one value an item, as a metric, with the cluster-robust standard error of metrics.h:
/// items of a cluster may depend on each other.
Metric mean_metric(const std::string& name, const std::vector<double>& values,
                   const std::vector<DecisionItem>& items);

/// Area under the curve: how often a value of `positive` is above one of `negative`, ties half.
/// The standard error is DeLong's (1988) with cluster-robust variances of the placements, for
/// clusters that do not have items in both (Obuchowski 1997).
Metric auc_metric(const std::string& name, const std::vector<double>& positive,
                  const std::vector<DecisionItem>& positive_items,
                  const std::vector<double>& negative,
                  const std::vector<DecisionItem>& negative_items);

/// Hands an item's score on, with its tier and those measurements as its detail.
void add_item(EvalContext& context, const DecisionItem& item, double score, Value::Table detail);

/// The same of a choice among options, whose detail is choice_detail()'s and those measurements.
void add_choice(EvalContext& context, const DecisionItem& item, double score,
                const OptionScores& options, Value::Table detail);

/// Scores a set by its openings. An item's score is whether greedy decoding begins with one; its
/// detail has the log-odds and the metric's name.
/// @return `name`, the share of items that do, and `name`_log_odds, the mean
std::vector<Metric> opening_metrics(EvalContext& context, const DecisionSet& set,
                                    const std::string& name);

}  // namespace harness
