#include <fmt/format.h>

#include <cmath>
#include <map>

#include "harness/plugin/plugins.h"
#include "harness/plugin/text_windows.h"
#include "harness/quant/site_statistics.h"

namespace harness {
namespace {

struct ActivationsConfig {
  WindowOptions windows = {.window = 512, .limit = 4};

  template <class V>
  void visit(V&& v) {
    windows.visit(v);
  }
};

/// The mean over layers of one figure of each place that has it.
class LayerMeans {
 public:
  void add(ActivationSite site, const std::string& figure, double value) {
    Sum& sum = sums_[{site, figure}];
    sum.total += value;
    ++sum.layers;
  }
  std::vector<Metric> metrics(const std::string& figure) const {
    std::vector<Metric> result;
    for (const auto& [key, sum] : sums_)
      if (key.second == figure)
        result.push_back({fmt::format("{}/{}", figure, activation_site_name(key.first)),
                          sum.total / static_cast<double>(sum.layers), std::nullopt, sum.layers});
    return result;
  }

 private:
  struct Sum {
    double total = 0;
    std::int64_t layers = 0;
  };
  std::map<std::pair<ActivationSite, std::string>, Sum> sums_;
};

/// What the blocks' quantizers are given and what they make of it, layer by layer: README.md in
/// this folder.
class Activations : public Eval {
 public:
  explicit Activations(const ActivationsConfig& config) : config_(config) {}

  std::string protocol(const DataContext&) const override {
    return "activations/" + config_.windows.protocol();
  }
  int version() const override { return 1; }
  void check(const DataContext& data, Problems& problems) const override {
    config_.windows.check(data, problems);
  }
  std::vector<DataUse> data(const DataContext& data) const override {
    return config_.windows.data(data);
  }

  std::vector<Metric> run(EvalContext& context) const override {
    if (!context.llama)
      throw Error("activations", "a model that does not show its blocks", "a LLaMA model",
                  "leave this eval out");
    const TextWindows windows(config_.windows, context, "activations");
    std::vector<at::Tensor> batches;
    for (std::int64_t i = 0; i < windows.count(); ++i) batches.push_back(windows.rows(i, 1));
    LayerMeans means;
    for (const SiteStatistics& place : site_statistics(*context.llama, batches)) {
      const std::string site = activation_site_name(place.site);
      Value::Table detail{{"layer", place.layer}, {"site", site}};
      auto add = [&](const std::string& figure, double value) {
        means.add(place.site, figure, value);
        if (std::isfinite(value)) detail.emplace_back(figure, value);
      };
      add("kurtosis", place.kurtosis);
      add("max_over_median", place.max_over_median);
      if (place.snr_db) add("snr_db", *place.snr_db);
      context.items.add({.id = fmt::format("layer {}, {}", place.layer, site),
                         .score = place.kurtosis,
                         .cluster = {},
                         .detail = std::move(detail)});
    }
    std::vector<Metric> metrics;
    for (const char* figure : {"snr_db", "kurtosis", "max_over_median"})
      for (Metric& metric : means.metrics(figure)) metrics.push_back(std::move(metric));
    return metrics;
  }

 private:
  ActivationsConfig config_;
};

}  // namespace
}  // namespace harness

void register_activations(harness::Plugins& plugins) {
  plugins.add_eval<harness::Activations, harness::ActivationsConfig>(
      "activations", "How hard activations are to quantize, and what it costs, layer by layer.");
}
