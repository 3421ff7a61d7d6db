#include "harness/quant/site_statistics.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "harness/core/log.h"
#include "harness/quant/sites.h"

namespace harness {
namespace {

/// Sums over all that a place has seen.
struct Sums {
  double count = 0, powers[4] = {};  // of x, x^2, x^3, x^4
  double ratios = 0, vectors = 0;    // of max over median
  double signal = 0, noise = 0;      // of what a quantizer took
  bool quantized = false;

  void look(const at::Tensor& x) {
    const at::Tensor values = x.to(at::kDouble);
    count += static_cast<double>(values.numel());
    const at::Tensor squares = values.square();
    powers[0] += values.sum().item<double>();
    powers[1] += squares.sum().item<double>();
    powers[2] += (squares * values).sum().item<double>();
    powers[3] += squares.square().sum().item<double>();
    const at::Tensor sizes = values.abs();
    const at::Tensor median = std::get<0>(sizes.median(-1));
    const at::Tensor counted = median > 0;
    ratios += (sizes.amax(-1) / median).masked_select(counted).sum().item<double>();
    vectors += counted.sum().item<double>();
  }

  void compare(const at::Tensor& x, const at::Tensor& y) {
    quantized = true;
    const at::Tensor before = x.to(at::kDouble);
    signal += before.square().sum().item<double>();
    noise += (before - y.to(at::kDouble)).square().sum().item<double>();
  }

  double kurtosis() const {
    const double mean = powers[0] / count, square = powers[1] / count;
    const double variance = square - mean * mean;
    const double fourth = powers[3] / count - 4 * mean * powers[2] / count +
                          6 * mean * mean * square - 3 * std::pow(mean, 4);
    return fourth / (variance * variance);
  }
  double max_over_median() const {
    return vectors > 0 ? ratios / vectors : std::numeric_limits<double>::quiet_NaN();
  }
  std::optional<double> snr_db() const {
    if (!quantized) return std::nullopt;
    return 10 * std::log10(signal / noise);
  }
};

/// The same block, whose places are looked at on the way.
LlamaBlock watched(const LlamaBlock& block, std::vector<Sums>& places) {
  LlamaBlock result = block;
  for (std::size_t place = 0; place < result.sites.size(); ++place) {
    std::vector<SiteStep>& steps = result.sites[place];
    Sums* const sums = &places[place];
    const auto quantizer = std::find_if(steps.begin(), steps.end(), is_quantizer);
    if (quantizer == steps.end()) {
      steps.push_back({"look", [sums](const at::Tensor& x) {
                         sums->look(x);
                         return x;
                       }});
    } else {
      const SiteStep original = *quantizer;
      auto quantize = [sums, original](const at::Tensor& x) {
        const at::Tensor y = original.apply(x);
        sums->look(x);
        sums->compare(x, y);
        return y;
      };
      quantizer->action = quantize;
      if (original.codes)
        quantizer->codes = [quantize, codes = original.codes](const at::Tensor& x) {
          quantize(x);
          return codes(x);
        };
    }
  }
  return result;
}

}  // namespace

double snr_db(const at::Tensor& x, const at::Tensor& y) {
  Sums sums;
  sums.compare(x, y);
  return *sums.snr_db();
}

std::vector<SiteStatistics> site_statistics(const LlamaModel& model,
                                            const std::vector<at::Tensor>& batches) {
  const c10::InferenceMode no_gradients;
  std::vector<at::Tensor> states;
  for (const at::Tensor& batch : batches) states.push_back(model.embed(batch));
  std::vector<SiteStatistics> result;
  for (std::size_t layer = 0; layer < model.layers(); ++layer) {
    std::vector<Sums> places(kActivationSites);
    model.read_block(layer, [&](const LlamaBlock& block) {
      const LlamaBlock watching = watched(block, places);
      for (at::Tensor& x : states) {
        check_interrupted();
        x = model.apply_block(watching, x, model.rope(x.size(1)));
      }
    });
    for (std::size_t place = 0; place < places.size(); ++place)
      result.push_back({static_cast<std::int64_t>(layer), static_cast<ActivationSite>(place),
                        places[place].kurtosis(), places[place].max_over_median(),
                        places[place].snr_db()});
  }
  return result;
}

}  // namespace harness
