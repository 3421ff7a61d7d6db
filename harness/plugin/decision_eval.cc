#include "harness/plugin/decision_eval.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "harness/core/error.h"
#include "harness/core/placements.h"
#include "harness/model/chat.h"
#include "harness/plugin/metrics.h"

namespace harness {
namespace {

using Ids = std::vector<std::int64_t>;

/// Floats of logits that are held at once (64 MB).
constexpr std::int64_t kHeldLogits = 1 << 24;
/// Progress is told at least this often.
constexpr std::int64_t kItemsAtOnce = 512;

std::vector<Ids> encode_prompts(const Model& model, const DecisionSet& set) {
  std::vector<Ids> prompts;
  for (const DecisionItem& item : set.items)
    prompts.push_back(
        set.chat ? encode_chat(model.tokenizer(), model.chat(), {{"user", item.prompt}}, true)
                 : encode_prompt(model.tokenizer(), item.prompt));
  return prompts;
}

/// Logits after each of the prompts followed by each of the beginnings, handed on prompt by prompt
/// as take(prompt, float [beginnings, vocabulary]). Prompts of like length go together.
template <class Take>
void read_next(EvalContext& context, const DecisionSet& set, const std::vector<Ids>& prompts,
               const std::vector<Ids>& beginnings, Take&& take) {
  const std::int64_t each =
      context.model.vocabulary_size() * static_cast<std::int64_t>(beginnings.size());
  const auto step = static_cast<std::size_t>(
      std::clamp<std::int64_t>(kHeldLogits / std::max<std::int64_t>(1, each), 1, kItemsAtOnce));
  std::vector<std::size_t> order(prompts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return prompts[a].size() < prompts[b].size();
  });
  for (std::size_t begin = 0; begin < prompts.size(); begin += step) {
    check_interrupted();
    const std::size_t end = std::min(begin + step, prompts.size());
    std::vector<Ids> batch;
    for (std::size_t i = begin; i < end; ++i) batch.push_back(prompts[order[i]]);
    const at::Tensor logits =
        context.model.logits_after(batch, beginnings).to(at::kCPU, at::kFloat).contiguous();
    for (std::size_t i = begin; i < end; ++i)
      take(order[i], logits.data_ptr<float>() + static_cast<std::int64_t>(i - begin) * each);
    context.progress.update(set.name, static_cast<double>(end),
                            static_cast<double>(prompts.size()));
  }
}

/// log(exp(a) + exp(b)).
double log_add(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::quiet_NaN();
  const double high = std::max(a, b), low = std::min(a, b);
  return std::isinf(high) && high < 0 ? high : high + std::log1p(std::exp(low - high));
}

/// log of the sum of exp over the logits of all tokens that `counts` keeps.
template <class Counts>
double log_sum(const float* logits, std::int64_t vocabulary, Counts&& counts) {
  double high = -std::numeric_limits<double>::infinity();
  for (std::int64_t token = 0; token < vocabulary; ++token) {
    if (std::isnan(logits[token])) return std::numeric_limits<double>::quiet_NaN();
    if (counts(token)) high = std::max<double>(high, logits[token]);
  }
  if (std::isinf(high)) return high;
  double sum = 0;
  for (std::int64_t token = 0; token < vocabulary; ++token)
    if (counts(token)) sum += std::exp(logits[token] - high);
  return high + std::log(sum);
}

/// The openings as a tree: for each beginning that is not a whole opening, the tokens that go on,
/// and whether an opening is complete with them.
using OpeningTree = std::map<Ids, std::map<std::int64_t, bool>>;

OpeningTree opening_tree(const Tokenizer& tokenizer, const DecisionSet& set) {
  std::set<Ids> whole;
  for (const std::string& opening : set.openings) {
    const Ids ids = tokenizer.encode(opening, /*special=*/false);
    if (ids.empty() || !whole.insert(ids).second)
      throw Error(set.name,
                  fmt::format("the opening \"{}\" has {}", opening,
                              ids.empty() ? "no token" : "the tokens of another"),
                  "openings that this model's tokenizer tells apart",
                  "use the tokenizer of the model that the data are for");
  }
  OpeningTree tree;
  for (const Ids& opening : whole)
    for (std::size_t length = 0; length < opening.size(); ++length)
      tree[Ids(opening.begin(), opening.begin() + static_cast<std::ptrdiff_t>(length))]
          [opening[length]] |= length + 1 == opening.size();
  for (const Ids& opening : whole)
    if (tree.count(opening))
      throw Error(set.name, "an opening is the beginning of another in this model's tokens",
                  "openings that differ before they end", "leave the longer one out");
  return tree;
}

std::vector<std::string> clusters(const std::vector<DecisionItem>& items) {
  std::vector<std::string> result;
  for (const DecisionItem& item : items)
    result.push_back(item.cluster.empty() ? item.id : item.cluster);
  return result;
}

}  // namespace

std::string DecisionEval::protocol(const DataContext& data) const {
  std::string name = load(tasks_.front(), data).protocol;
  if (options_.split != "test") name += "/" + options_.split;
  if (options_.limit) name += fmt::format("/first-{}", *options_.limit);
  return name;
}

EvalTraits DecisionEval::traits() const {
  // Facts are recalled from raw text; every other prompt is a user's message, whose score as plain
  // text would stand under the same protocol.
  const bool chats = std::any_of(tasks_.begin(), tasks_.end(),
                                 [](DecisionTask task) { return task != DecisionTask::recall; });
  return {.uses_chat = chats, .needs_chat_template = chats, .by_item = true};
}

void DecisionEval::check(const DataContext& data, Problems& problems) const {
  for (const DecisionTask task : tasks_) problems.collect([&] { load(task, data); });
}

std::vector<DataUse> DecisionEval::data(const DataContext& data) const {
  std::vector<DataUse> uses;
  for (const DecisionTask task : tasks_) {
    const DecisionSet set = load(task, data);
    uses.push_back({set.name, set.digest(), set.source});
  }
  return uses;
}

bool DecisionEval::chooses(const DataContext& data) const {
  const DecisionSet set = load(tasks_.front(), data);
  return set.openings.empty() && !set.items.empty() && !set.items.front().options.empty();
}

DecisionSet DecisionEval::load(DecisionTask task, const DataContext& data) const {
  const std::string source = options_.data == "auto" ? data.pair : options_.data;
  if (source.empty())
    throw Error(
        "eval " + name_, "data is \"auto\", but the model belongs to no pair",
        "a model with items of its own",
        "set the eval's data, such as data = \"world\", or measure a model of a pair, model = { "
        "pair = \"world\", role = \"aligned\" }");
  DecisionSet set = load_decisions(
      source, task, options_.split == "test" ? DecisionSplit::test : DecisionSplit::validation,
      data.data_dir);
  const auto count = static_cast<std::int64_t>(set.items.size());
  set.items.resize(static_cast<std::size_t>(std::min(count, options_.limit.value_or(count))));
  return set;
}

DecisionSet DecisionEval::load(DecisionTask task, const EvalContext& context) const {
  DecisionSet set = load(task, context.data);
  std::erase_if(set.items, [&](const DecisionItem& item) { return !context.measures(item.id); });
  return set;
}

std::vector<OpeningScore> score_openings(EvalContext& context, const DecisionSet& set) {
  const OpeningTree tree = opening_tree(context.model.tokenizer(), set);
  const std::vector<Ids> prompts = encode_prompts(context.model, set);
  const std::int64_t vocabulary = context.model.vocabulary_size();
  constexpr double kImpossible = -std::numeric_limits<double>::infinity();
  struct Reached {
    double log_probability = 0;  // of saying this beginning
    bool greedy = true;          // whether greedy decoding does
  };
  std::vector<Ids> beginnings;  // those before what they are the beginning of: lexicographic order
  for (const auto& [beginning, next] : tree) beginnings.push_back(beginning);
  std::vector<OpeningScore> scores(prompts.size());
  read_next(context, set, prompts, beginnings, [&](std::size_t item, const float* logits) {
    double inside = kImpossible, outside = kImpossible;
    std::map<Ids, Reached> reached;
    reached[{}] = {};
    for (const auto& [beginning, next] : tree) {
      const auto [log_probability, greedy] = reached.at(beginning);
      const double all = log_sum(logits, vocabulary, [](std::int64_t) { return true; });
      const double others =
          log_sum(logits, vocabulary, [&](std::int64_t token) { return !next.count(token); });
      outside = log_add(outside, log_probability + others - all);
      const std::int64_t first = std::max_element(logits, logits + vocabulary) - logits;
      for (const auto& [token, complete] : next) {
        if (token >= vocabulary)
          throw Error(set.name, fmt::format("token id {}", token),
                      fmt::format("ids below the model's vocabulary, {}", vocabulary),
                      "use the tokenizer that belongs to this model");
        const double here = log_probability + logits[token] - all;
        const bool chosen = greedy && token == first && !std::isnan(all);
        if (complete) {
          inside = log_add(inside, here);
          scores[item].greedy = scores[item].greedy || chosen;
        } else {
          Ids longer = beginning;
          longer.push_back(token);
          reached[longer] = {here, chosen};
        }
      }
      logits += vocabulary;
    }
    scores[item].log_odds = inside - outside;
  });
  if (set.greedy_tokens > 0) {
    GenerateOptions options;
    options.max_new_tokens = set.greedy_tokens;
    const std::vector<Generation> answers = context.model.generate(prompts, options);
    for (std::size_t i = 0; i < answers.size(); ++i)
      scores[i].greedy = opens_with(answers[i].text, set.openings);
  }
  return scores;
}

std::vector<OptionScores> score_options(EvalContext& context, const DecisionSet& set) {
  const Tokenizer& tokenizer = context.model.tokenizer();
  std::map<std::string, std::int64_t> known;
  auto token_of = [&](const std::string& option) {
    const auto found = known.find(option);
    if (found != known.end()) return found->second;
    const Ids ids = tokenizer.encode(option, /*special=*/false);
    if (ids.size() != 1 || ids[0] >= context.model.vocabulary_size())
      throw Error(
          set.name,
          fmt::format("the option \"{}\" has {} tokens, the last of them {}", option, ids.size(),
                      ids.empty() ? -1 : ids.back()),
          fmt::format("one, below the model's vocabulary of {}", context.model.vocabulary_size()),
          "measure a model whose tokenizer has these words, such as one of the pair");
    return known[option] = ids[0];
  };
  std::vector<Ids> options;
  for (const DecisionItem& item : set.items) {
    Ids& ids = options.emplace_back();
    for (const std::string& option : item.options) ids.push_back(token_of(option));
    if (std::set<std::int64_t>(ids.begin(), ids.end()).size() != ids.size())
      throw Error(
          set.name,
          fmt::format("the options {} are not all different tokens", fmt::join(item.options, ", ")),
          "words that the tokenizer tells apart",
          "measure a model whose tokenizer has these words, such as one of the pair");
  }
  std::vector<OptionScores> scores(set.items.size());
  const std::int64_t vocabulary = context.model.vocabulary_size();
  read_next(context, set, encode_prompts(context.model, set), {Ids{}},
            [&](std::size_t item, const float* logits) {
              for (const std::int64_t token : options[item])
                scores[item].logits.push_back(logits[token]);
              scores[item].log_sum = log_sum(logits, vocabulary, [](std::int64_t) { return true; });
            });
  return scores;
}

Metric mean_metric(const std::string& name, const std::vector<double>& values,
                   const std::vector<DecisionItem>& items) {
  return mean_metric(name, values, clusters(items));
}

Metric auc_metric(const std::string& name, const std::vector<double>& positive,
                  const std::vector<DecisionItem>& positive_items,
                  const std::vector<double>& negative,
                  const std::vector<DecisionItem>& negative_items) {
  const auto count = static_cast<std::int64_t>(positive.size() + negative.size());
  auto is_nan = [](double value) { return std::isnan(value); };
  if (std::any_of(positive.begin(), positive.end(), is_nan) ||
      std::any_of(negative.begin(), negative.end(), is_nan))
    return {name, std::numeric_limits<double>::quiet_NaN(), std::nullopt, count};
  const std::vector<double> of_positive = placements(positive, negative);
  const std::vector<double> of_negative = placements(negative, positive);
  const std::optional<double> one = variance_of_mean(of_positive, clusters(positive_items));
  const std::optional<double> other = variance_of_mean(of_negative, clusters(negative_items));
  std::optional<double> error;
  if (one && other) error = std::sqrt(*one + *other);
  return {name, mean_of(of_positive), error, count};
}

std::vector<Metric> opening_metrics(EvalContext& context, const DecisionSet& set,
                                    const std::string& name) {
  const std::vector<OpeningScore> scores = score_openings(context, set);
  std::vector<double> opened, log_odds;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    opened.push_back(scores[i].greedy ? 1 : 0);
    log_odds.push_back(scores[i].log_odds);
    add_item(context, set.items[i], opened.back(),
             {{"measured", name}, {"log_odds", log_odds.back()}});
  }
  return {mean_metric(name, opened, set.items),
          mean_metric(name + "_log_odds", log_odds, set.items)};
}

void add_item(EvalContext& context, const DecisionItem& item, double score, Value::Table detail) {
  if (item.tier) detail.emplace(detail.begin(), "tier", *item.tier);
  context.items.add(
      {.id = item.id, .score = score, .cluster = item.cluster, .detail = std::move(detail)});
}

void add_choice(EvalContext& context, const DecisionItem& item, double score,
                const OptionScores& options, Value::Table detail) {
  const std::size_t best = best_option(options.logits);
  std::vector<double> log_likelihoods;
  for (const double logit : options.logits) log_likelihoods.push_back(logit - options.log_sum);
  Value::Table chosen =
      choice_detail(best < options.logits.size() ? static_cast<std::int64_t>(best) : -1,
                    item.answer, log_likelihoods);
  detail.insert(detail.end(), chosen.begin(), chosen.end());
  add_item(context, item, score, std::move(detail));
}

}  // namespace harness
