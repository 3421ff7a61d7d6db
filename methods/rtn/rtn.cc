// Round to nearest: methods.md section 3.

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "harness/kernels/ops.h"
#include "harness/plugin/plugins.h"
#include "harness/quant/site_statistics.h"

namespace harness {
namespace {

struct RtnConfig {
  bool mse_clip = false;

  template <class Visitor>
  void visit(Visitor&& v) {
    v("mse_clip", mse_clip,
      Field{.doc = "search 80 clip ratios a row or group for the least sum of |error|^2.4"});
  }
};

/// Every Linear of every block to Q(W); embedding and lm_head stay as they are.
class Rtn : public Method {
 public:
  explicit Rtn(const RtnConfig& config) : config_(config) {}

  MethodTraits traits() const override {
    return {.quantizes_weights = true, .block_by_block = true};
  }
  int version() const override { return 1; }
  void check(const Format&, const LlamaConfig&, Problems&) const override {}

  void apply(MethodContext& context) const override {
    const std::size_t layers = context.model.layers();
    for (std::size_t layer = 0; layer < layers; ++layer) {
      context.model.change_block(layer,
                                 [&](LlamaBlock& block) { quantize(context, layer, block); });
      context.progress.update("rtn, blocks", static_cast<double>(layer + 1),
                              static_cast<double>(layers));
    }
  }

 private:
  void quantize(MethodContext& context, std::size_t layer, LlamaBlock& block) const {
    for (auto& [part, linear] : block.linears()) {
      const std::string name = fmt::format("model.layers.{}.{}", layer, part);
      const QuantSpec spec = context.format.at(Site::w, static_cast<int>(layer), name);
      if (!spec.active()) continue;
      check_interrupted();
      at::Tensor& weight = linear->weight;
      const QuantizedWeight quantized =
          quantize_weight(weight, spec, config_.mse_clip, name + ".weight");
      check_quantized(weight.device());
      context.record.weight(name + ".weight", quantized);
      const at::Tensor rounded = quantized.dequantize(weight.scalar_type());
      context.record.curve("weight_snr_db/" + part, static_cast<std::int64_t>(layer),
                           snr_db(weight, rounded));
      weight = rounded;
    }
  }

  RtnConfig config_;
};

}  // namespace
}  // namespace harness

void register_rtn(harness::Plugins& plugins) {
  plugins.add_method<harness::Rtn, harness::RtnConfig>(
      "rtn", "round to nearest: every block Linear to its quantized weights");
}
