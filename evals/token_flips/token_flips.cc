#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/core/paths.h"
#include "harness/data/file.h"
#include "harness/plugin/flip_metrics.h"
#include "harness/plugin/plugins.h"
#include "harness/plugin/text_windows.h"
#include "harness/quant/training_loss.h"

namespace harness {
namespace {

constexpr std::int64_t kPassTokens = 4096;
constexpr std::int64_t kTranscripts = 256;
constexpr std::int64_t kTopK = 1000;

struct TokenFlipsConfig {
  std::string text, chat;
  std::int64_t window = 2048;
  std::optional<bool> bos;
  std::optional<std::int64_t> limit;
  std::int64_t top_k = kTopK;

  template <class V>
  void visit(V&& v) {
    v("text", text, {.doc = "as perplexity's; without it and chat boolq-wiki-measure"});
    v("chat", chat,
      {.doc = "chat transcripts: JSON lines of { messages }, or \"pair\": such as the model's pair "
              "is fine-tuned on"});
    v("window", window,
      {.doc = "tokens a window, each from an empty context; of a transcript at most", .min = 2});
    v("bos", bos, {.doc = "BOS once at the start of the text; default: as the tokenizer does"});
    v("limit", limit, {.doc = "the first n windows, or transcripts (256) only", .min = 1});
    v("top_k", top_k,
      {.doc = "tokens of each reference whose probability is kept for the KL; the others are one",
       .min = 2});
  }
};

/// What the models are shown.
struct Sequences {
  at::Tensor tokens;                       // int64 [n, length]; behind the shorter ones zeros
  std::vector<std::vector<bool>> counted;  // of each, the positions that count
  std::vector<std::string> ids;
  std::vector<std::int64_t> places;  // of each, among all that the eval is about
};

/// The transcripts that the context asks for.
Sequences sequences_of(const std::vector<Transcript>& transcripts, std::int64_t longest,
                       const EvalContext& context) {
  Sequences sequences;
  auto length = [&](const Transcript& each) {
    return std::min(longest, static_cast<std::int64_t>(each.tokens.size()));
  };
  std::int64_t columns = 0;
  for (std::size_t i = 0; i < transcripts.size(); ++i) {
    const Transcript& each = transcripts[i];
    const auto place = static_cast<std::int64_t>(i);
    std::string id = window_id(place, each.tokens.data(), length(each));
    if (!context.measures(id)) continue;
    columns = std::max(columns, length(each));
    sequences.counted.emplace_back(each.answers.begin(), each.answers.begin() + length(each));
    sequences.ids.push_back(std::move(id));
    sequences.places.push_back(place);
  }
  const auto rows = static_cast<std::int64_t>(sequences.places.size());
  sequences.tokens = at::zeros({rows, columns}, at::kLong);
  for (std::int64_t row = 0; row < rows; ++row) {
    const Transcript& each = transcripts[static_cast<std::size_t>(sequences.places[row])];
    std::copy_n(each.tokens.begin(), length(each),
                sequences.tokens.mutable_data_ptr<std::int64_t>() + row * columns);
  }
  return sequences;
}

/// The index that stands beside the largest value of each row, the least of equal ones: int64 [n].
at::Tensor first_of_largest(const at::Tensor& values, const at::Tensor& indices) {
  return at::where(values == values.amax(-1, true), indices,
                   std::numeric_limits<std::int64_t>::max())
      .amin(-1);
}

/// An unquantized model beside the one that is measured, at some positions.
struct Compared {
  at::Tensor first, second;  // int64 [n]: its likeliest tokens
  at::Tensor kl;             // float64 [n]: KL(it || the measured model)
  at::Tensor outside;        // float64 [n]: what is left to the tokens that were not kept
};

/// @param begin   position of the first row of logits, counted over all sequences
/// @param logits  float32 or float64 [n, vocabulary] of the measured model
/// @param log_sum float64 [n, 1], of exp of all of them
Compared compare(const SubsetTargets& reference, std::int64_t begin, const at::Tensor& logits,
                 const at::Tensor& log_sum) {
  auto rows = [&](const at::Tensor& all) {
    return all.flatten(0, 1).narrow(0, begin, logits.size(0));
  };
  const bool all_kept = !reference.indices.defined();
  const at::Tensor indices =
      all_kept ? at::arange(logits.size(1), logits.options().dtype(at::kLong)).expand_as(logits)
               : unpacked_indices(rows(reference.indices), logits.device());
  const at::Tensor theirs = rows(reference.logits).to(logits.device()).to(at::kDouble);
  Compared compared;
  compared.first = first_of_largest(theirs, indices);
  compared.second = first_of_largest(theirs.masked_fill(indices == compared.first.unsqueeze(-1),
                                                        -std::numeric_limits<double>::infinity()),
                                     indices);
  const at::Tensor log_p =
      theirs - rows(reference.log_sum_exp).to(logits.device()).to(at::kDouble).unsqueeze(-1);
  const at::Tensor p = log_p.exp();
  const at::Tensor log_q = logits.gather(1, indices).to(at::kDouble) - log_sum;
  compared.kl = (p * (log_p - log_q)).sum(-1);
  compared.outside = at::zeros_like(compared.kl);
  if (all_kept) return compared;
  compared.outside = (1 - p.sum(-1)).clamp_min(0);
  const at::Tensor log_q_outside =
      at::logsumexp(logits.scatter(1, indices, -std::numeric_limits<double>::infinity()), -1)
          .to(at::kDouble) -
      log_sum.squeeze(-1);
  compared.kl += at::where(compared.outside > 0,
                           compared.outside * (compared.outside.log() - log_q_outside), 0.);
  return compared;
}

/// Which way a quantized model's next tokens moved: README.md in this folder.
class TokenFlips : public Eval {
 public:
  explicit TokenFlips(TokenFlipsConfig config) : config_(std::move(config)) {
    if (config_.text.empty() && config_.chat.empty()) config_.text = "boolq-wiki-measure";
  }

  std::string protocol(const DataContext& data) const override {
    std::string name;
    if (!on_chat()) {
      name = windows().protocol("token-flips");
    } else {
      const std::string source =
          config_.chat == "pair" ? data.pair : std::filesystem::path(config_.chat).stem().string();
      name = fmt::format("{}-chat/token-flips-{}/1", source, config_.window);
      if (config_.limit) name += fmt::format("/first-{}", *config_.limit);
    }
    return config_.top_k == kTopK ? name : fmt::format("{}/top-{}", name, config_.top_k);
  }

  int version() const override { return 1; }

  EvalTraits traits() const override {
    return {.needs_base = true,
            .uses_chat = on_chat(),
            .shares_tokens = true,
            .transcripts = config_.chat,
            .by_item = true};
  }

  void check(const DataContext& data, Problems& problems) const override {
    if (on_chat() && !config_.text.empty())
      problems.add(
          Error("eval token_flips", "both text and chat", "one of them", "list the eval twice"));
    else
      problems.collect([&] { this->data(data); });
  }

  std::vector<DataUse> data(const DataContext& data) const override {
    if (!on_chat()) return windows().data(data);
    if (config_.chat != "pair") {
      const std::filesystem::path path = find_data_file(config_.chat, data.data_dir);
      return {{path.filename().string(), sha256(read_text_file(path)), config_.chat}};
    }
    if (data.pair.empty())
      throw Error("eval token_flips", "chat = \"pair\", but the model belongs to no pair",
                  "the path of JSON lines of {\"messages\": [...]}");
    return {{"pair transcripts", data.pair_transcripts,
             fmt::format("what the pair {} is fine-tuned on", data.pair)}};
  }

  std::vector<Metric> run(EvalContext& context) const override {
    const Sequences sequences = read(context);
    const SubsetTargets aligned = targets(References::Role::aligned, sequences.tokens, context);
    const SubsetTargets base = targets(References::Role::base, sequences.tokens, context);
    Tally tally;
    const std::int64_t count = sequences.tokens.size(0), length = sequences.tokens.size(1);
    const std::int64_t step = std::max<std::int64_t>(1, kPassTokens / length);
    for (std::int64_t begin = 0; begin < count; begin += step) {
      check_interrupted();
      const std::int64_t end = std::min(begin + step, count);
      Positions positions;
      context.model.read_logits(sequences.tokens.slice(0, begin, end),
                                [&](std::int64_t first, const at::Tensor& logits) {
                                  positions.add(logits, aligned, base, begin * length + first);
                                });
      for (std::int64_t row = begin; row < end; ++row)
        tally.add(positions, (row - begin) * length, row, sequences, context.items);
      context.progress.update("token_flips " + protocol(context.data), static_cast<double>(end),
                              static_cast<double>(count));
    }
    return tally.metrics();
  }

 private:
  /// What the three models say at the positions of some sequences, one after the other.
  struct Positions {
    std::vector<std::int64_t> run, aligned, aligned_second, base;
    std::vector<double> kl_aligned, kl_base, outside;

    void add(const at::Tensor& logits, const SubsetTargets& of_aligned,
             const SubsetTargets& of_base, std::int64_t first) {
      const at::Tensor wide =
          logits.to(logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
      const at::Tensor log_sum = at::logsumexp(wide, -1, true).to(at::kDouble);
      append(run, wide.argmax(-1));
      const Compared with_aligned = compare(of_aligned, first, wide, log_sum);
      append(aligned, with_aligned.first);
      append(aligned_second, with_aligned.second);
      append(kl_aligned, with_aligned.kl);
      append(outside, with_aligned.outside);
      const Compared with_base = compare(of_base, first, wide, log_sum);
      append(base, with_base.first);
      append(kl_base, with_base.kl);
    }

   private:
    template <class T>
    static void append(std::vector<T>& all, const at::Tensor& values) {
      const at::Tensor here = values.cpu().contiguous();
      const T* begin = here.const_data_ptr<T>();
      all.insert(all.end(), begin, begin + here.numel());
    }
  };

  /// What is counted of each sequence.
  struct Tally {
    std::vector<FlipCounts> counts;
    std::vector<double> positions, kl_aligned, kl_base, outside;

    /// @param first place of the sequence's first position in `all`
    void add(const Positions& all, std::int64_t first, std::int64_t row, const Sequences& sequences,
             ItemSink& items) {
      FlipCounts flips;
      double to_aligned = 0, to_base = 0, left = 0;
      const std::vector<bool>& counted = sequences.counted[static_cast<std::size_t>(row)];
      for (std::size_t t = 0; t < counted.size(); ++t) {
        if (!counted[t]) continue;
        const std::size_t at = static_cast<std::size_t>(first) + t;
        flips.add(all.run[at], all.aligned[at], all.base[at],
                  all.aligned_second[at] == all.base[at] ? 1 : 0);
        to_aligned += all.kl_aligned[at];
        to_base += all.kl_base[at];
        left += all.outside[at];
      }
      if (flips.count == 0) return;
      counts.push_back(flips);
      positions.push_back(flips.count);
      kl_aligned.push_back(to_aligned);
      kl_base.push_back(to_base);
      outside.push_back(left);
      auto integer = [](double value) { return Value(static_cast<std::int64_t>(value)); };
      items.add(
          {.id = sequences.ids[static_cast<std::size_t>(row)],
           .score = to_aligned / flips.count,
           .cluster = {},
           .detail = Value::Table{{"position", sequences.places[static_cast<std::size_t>(row)]},
                                  {"count", integer(flips.count)},
                                  {"disagree", integer(flips.disagree)},
                                  {"to_base", integer(flips.to_base)},
                                  {"kept", integer(flips.kept)},
                                  {"changed_agreed", integer(flips.changed_agreed)},
                                  {"agree_base", integer(flips.agree_base)},
                                  {"chance", integer(flips.chance)},
                                  {"kl_aligned", to_aligned},
                                  {"kl_base", to_base},
                                  {"outside", left}}});
    }

    std::vector<Metric> metrics() const {
      std::vector<Metric> metrics = flip_metrics(counts);
      if (counts.empty()) return metrics;
      metrics.push_back(ratio_metric("kl_aligned", kl_aligned, positions));
      metrics.push_back(ratio_metric("kl_base", kl_base, positions));
      metrics.push_back(ratio_metric("outside_top_k", outside, positions));
      return metrics;
    }
  };

  bool on_chat() const { return !config_.chat.empty(); }
  WindowOptions windows() const {
    return {config_.text, config_.window, config_.bos, config_.limit};
  }
  bool keeps_all(const Model& model) const { return config_.top_k >= model.vocabulary_size(); }

  Sequences read(EvalContext& context) const {
    if (on_chat())
      return sequences_of(
          context.transcripts.read(config_.chat, config_.limit.value_or(kTranscripts)),
          std::min(config_.window, context.model.max_tokens()), context);
    const TextWindows text(windows(), context, "token_flips");
    Sequences sequences{text.rows(0, text.count()), {}, {}, {}};
    for (std::int64_t i = 0; i < text.count(); ++i) {
      sequences.counted.emplace_back(static_cast<std::size_t>(config_.window), true);
      sequences.ids.push_back(text.id(i));
      sequences.places.push_back(text.position(i));
    }
    return sequences;
  }

  /// What is kept of an unquantized model, from the cache where another run has left it there.
  SubsetTargets targets(References::Role role, const at::Tensor& tokens,
                        EvalContext& context) const {
    const std::int64_t k = keeps_all(context.model) ? 0 : config_.top_k;
    const std::string model_key = context.references.key(role);
    const KeptTargets kept(
        model_key.empty() ? std::filesystem::path() : context.cache,
        fmt::format("token flips 2\n{}\n{}\ntop {}", model_key,
                    Sha256().update(tokens.const_data_ptr(), tokens.nbytes()).hex(), k));
    if (auto found = kept.find()) return *std::move(found);
    const LlamaModel& model = context.references.llama(role);
    if (model.config().vocab_size != context.model.vocabulary_size())
      throw Error("token_flips",
                  fmt::format("a reference with a vocabulary of {} tokens, the model's has {}",
                              model.config().vocab_size, context.model.vocabulary_size()),
                  "the model's own pre-trained counterpart", "name another base");
    const SubsetTargets made =
        distillation_targets(tokens, model, nullptr, {.top_k = k}, context.progress).teacher;
    context.references.release(role);
    kept.keep(made);
    return made;
  }

  TokenFlipsConfig config_;
};

}  // namespace
}  // namespace harness

void register_token_flips(harness::Plugins& plugins) {
  plugins.add_eval<harness::TokenFlips, harness::TokenFlipsConfig>(
      "token_flips",
      "At each token of a text or of chat transcripts: whether the model says what its unquantized "
      "self says, or its base.");
}
