// GPTQ, block by block: methods.md section 4.

#include "harness/quant/gptq.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "harness/plugin/plugins.h"
#include "harness/quant/site_statistics.h"

namespace harness {
namespace {

constexpr std::int64_t kPassTokens = 4096;

/// Linears of a block that read one input, as a range of LlamaBlock::linears(), in the order in
/// which they are quantized: each on inputs that come from what was quantized before.
struct Step {
  ActivationSite input;
  std::size_t begin, end;
};
constexpr Step kSteps[] = {{ActivationSite::attention_in, 0, 3},  // q, k, v
                           {ActivationSite::o_in, 3, 4},
                           {ActivationSite::mlp_in, 4, 6},  // gate, up
                           {ActivationSite::down_in, 6, 7}};

/// Thrown by a recorder once it has seen its input, since nothing behind it in the block is wanted:
/// three of a block's four recording passes then cost a fraction of the block.
struct Recorded {};

/// Every Linear of every block to codes that, given the inputs that the quantized model itself
/// makes of the calibration text, keep the Linear's output; embedding and lm_head stay as they are.
class Gptq : public Method {
 public:
  explicit Gptq(const GptqOptions& options) : options_(options) {}

  MethodTraits traits() const override {
    return {.quantizes_weights = true, .needs_calibration = true, .block_by_block = true};
  }
  int version() const override { return 1; }
  void check(const Format&, const LlamaConfig&, Problems&) const override {}

  void apply(MethodContext& context) const override {
    assert(context.calibration);
    const at::NoGradGuard no_gradients;
    const at::Tensor& tokens = context.calibration->tokens();
    LlamaModel& model = context.model;
    // The only tensors that outlive a block: its inputs, a few sequences each.
    std::vector<at::Tensor> states;
    const std::int64_t sequences = std::max<std::int64_t>(1, kPassTokens / tokens.size(1));
    for (const at::Tensor& batch : tokens.split(sequences)) states.push_back(model.embed(batch));
    const Rope rope = model.rope(tokens.size(1));
    for (std::size_t layer = 0; layer < model.layers(); ++layer)
      model.change_block(layer,
                         [&](LlamaBlock& block) { quantize(context, layer, block, states, rope); });
  }

 private:
  /// @param states the block's inputs; afterwards what the quantized block makes of them
  void quantize(MethodContext& context, std::size_t layer, LlamaBlock& block,
                std::vector<at::Tensor>& states, const Rope& rope) const {
    std::vector<std::string> notes;
    for (std::size_t i = 0; i < std::size(kSteps); ++i) {
      quantize_step(context, layer, block, kSteps[i], states, rope, notes);
      context.progress.update(
          "gptq, blocks",
          static_cast<double>(layer) +
              static_cast<double>(i + 1) / static_cast<double>(std::size(kSteps)),
          static_cast<double>(context.model.layers()));
    }
    if (!notes.empty())
      log_info(fmt::format("gptq, layer {}, output over error in dB: {}", layer,
                           fmt::join(notes, ", ")));
    for (at::Tensor& x : states) {
      check_interrupted();
      x = context.model.apply_block(block, x, rope);
    }
  }

  void quantize_step(MethodContext& context, std::size_t layer, LlamaBlock& block, const Step& step,
                     const std::vector<at::Tensor>& states, const Rope& rope,
                     std::vector<std::string>& notes) const {
    at::Tensor hessian;
    GptqFactor factor;
    const auto linears = block.linears();
    for (std::size_t i = step.begin; i < step.end; ++i) {
      const auto& [part, linear] = linears[i];
      const std::string name = fmt::format("model.layers.{}.{}", layer, part);
      const QuantSpec spec = context.format.at(Site::w, static_cast<int>(layer), name);
      if (!spec.active()) continue;
      if (!hessian.defined()) {
        const std::string what = fmt::format("Hessian of the input of {}", name);
        hessian =
            input_hessian(context.model, block, step.input, linear->weight.size(1), states, rope);
        factor = factor_hessian(hessian, options_, what);
        if (factor.damping > options_.damping) {
          log_warning(
              fmt::format("{}: damping raised to {} for a Cholesky factor", what, factor.damping));
          context.record.curve("damping/" + part, static_cast<std::int64_t>(layer), factor.damping);
        }
      }
      check_interrupted();
      const at::Tensor before = linear->weight;
      const QuantizedWeight quantized =
          gptq(before, factor, spec, options_, name + ".weight").weight;
      context.record.weight(name + ".weight", quantized);
      linear->weight = quantized.dequantize(before.scalar_type());
      const double output_snr = 10 * std::log10(squared_output(hessian, before) /
                                                squared_output(hessian, before - linear->weight));
      const auto number = static_cast<std::int64_t>(layer);
      context.record.curve("weight_snr_db/" + part, number, snr_db(before, linear->weight));
      context.record.curve("output_snr_db/" + part, number, output_snr);
      notes.push_back(fmt::format("{} {:.1f}", part, output_snr));
    }
  }

  /// (2 / n) sum x x^T over what reaches `site` in n sequences, after the steps that stand there.
  static at::Tensor input_hessian(const LlamaModel& model, const LlamaBlock& block,
                                  ActivationSite site, std::int64_t features,
                                  const std::vector<at::Tensor>& states, const Rope& rope) {
    const auto compute = model.dtype() == at::kDouble ? at::kDouble : at::kFloat;
    std::int64_t sequences = 0;
    for (const at::Tensor& x : states) sequences += x.size(0);
    at::Tensor hessian = at::zeros({features, features}, states.front().options().dtype(compute));
    LlamaBlock recording = block;
    recording.at(site).push_back({"record", [&](const at::Tensor& x) -> at::Tensor {
                                    const at::Tensor rows = x.reshape({-1, features}).to(compute);
                                    hessian.addmm_(rows.t(), rows, 1,
                                                   2.0 / static_cast<double>(sequences));
                                    throw Recorded{};
                                  }});
    for (const at::Tensor& x : states) {
      check_interrupted();
      try {
        model.apply_block(recording, x, rope);
      } catch (const Recorded&) {
      }
    }
    return hessian;
  }

  GptqOptions options_;
};

}  // namespace
}  // namespace harness

void register_gptq(harness::Plugins& plugins) {
  plugins.add_method<harness::Gptq, harness::GptqOptions>(
      "gptq", "weights to the codes that keep each Linear's output on calibration text");
}
