#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "harness/plugin/plugins.h"
#include "harness/plugin/text_windows.h"

namespace harness {
namespace {

struct PerplexityConfig {
  WindowOptions windows;
  std::int64_t batch = 1;

  template <class V>
  void visit(V&& v) {
    windows.visit(v);
    v("batch", batch, {.doc = "windows a forward pass", .min = 1});
  }
};

struct Estimate {
  double mean = 0;
  std::optional<double> standard_error;  // needs two windows, and finite ones
};

Estimate estimate(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  const double mean = sum / n;
  for (const double value : values) squares += (value - mean) * (value - mean);
  if (values.size() < 2 || !std::isfinite(squares)) return {mean, std::nullopt};
  return {mean, std::sqrt(squares / (n - 1) / n)};
}

/// Perplexity of a text in windows: evals.md, "Perplexity"; README.md in this folder.
class Perplexity : public Eval {
 public:
  explicit Perplexity(PerplexityConfig config) : config_(std::move(config)) {}

  std::string protocol(const DataContext&) const override { return config_.windows.protocol(); }
  int version() const override { return 2; }
  EvalTraits traits() const override { return {.by_item = true}; }
  void check(const DataContext& data, Problems& problems) const override {
    config_.windows.check(data, problems);
  }
  std::vector<DataUse> data(const DataContext& data) const override {
    return config_.windows.data(data);
  }

  std::vector<Metric> run(EvalContext& context) const override {
    const TextWindows windows(config_.windows, context, "perplexity");
    const std::string what = "perplexity " + protocol(context.data);
    const std::int64_t window = config_.windows.window, predicted = window - 1;
    // Batches of windows, and as many of them at once as the model is best given.
    const std::int64_t batches =
        std::max<std::int64_t>(1, context.model.tokens_together() / window / config_.batch);
    std::vector<double> nlls;  // of each window, the mean over its predicted tokens
    while (static_cast<std::int64_t>(nlls.size()) < windows.count()) {
      check_interrupted();
      const auto first = static_cast<std::int64_t>(nlls.size());
      const std::int64_t count = std::min(batches * config_.batch, windows.count() - first);
      const std::vector<at::Tensor> found = context.model.token_nll_together(
          windows.rows(first, count).split(config_.batch), [&](double share) {
            context.progress.update(what,
                                    static_cast<double>(first) + share * static_cast<double>(count),
                                    static_cast<double>(windows.count()));
          });
      const at::Tensor nll = at::cat(found).to(at::kCPU, at::kFloat);
      const auto token_nll = nll.accessor<float, 2>();
      for (std::int64_t row = 0; row < count; ++row) {
        double sum = 0;
        for (std::int64_t i = 0; i < predicted; ++i) sum += token_nll[row][i];
        nlls.push_back(sum / static_cast<double>(predicted));
        context.items.add({.id = windows.id(first + row),
                           .score = nlls.back(),
                           .cluster = {},
                           .detail = Value::Table{{"position", windows.position(first + row)},
                                                  {"tokens", predicted},
                                                  {"text_tokens", windows.text_tokens()}}});
      }
    }
    return metrics(nlls, windows.text_tokens());
  }

 private:
  static std::vector<Metric> metrics(const std::vector<double>& nlls, std::int64_t tokens) {
    const Estimate nll = estimate(nlls);
    const double perplexity = std::exp(nll.mean);
    std::optional<double> error = nll.standard_error;
    if (error) *error *= perplexity;  // delta method: d exp(x) = exp(x) dx
    const auto windows = static_cast<std::int64_t>(nlls.size());
    return {{"perplexity", perplexity, error, windows},
            {"nll", nll.mean, nll.standard_error, windows},
            {"tokens", static_cast<double>(tokens), std::nullopt, windows}};
  }

  PerplexityConfig config_;
};

}  // namespace
}  // namespace harness

void register_perplexity(harness::Plugins& plugins) {
  plugins.add_eval<harness::Perplexity, harness::PerplexityConfig>(
      "perplexity", "Perplexity of a text in windows that start from an empty context.");
}
