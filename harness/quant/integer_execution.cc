#include "harness/quant/integer_execution.h"

#include <fmt/format.h>

#include <numeric>
#include <set>

#include "harness/kernels/integer_linear.h"
#include "harness/quant/sites.h"

namespace harness {
namespace {

/// An input that Linears of a block share.
struct SharedInput {
  ActivationSite place;
  std::vector<std::string> readers;  // names as LlamaBlock::linears() has them
  std::int64_t features;
};

std::vector<SharedInput> shared_inputs(const LlamaConfig& config) {
  return {
      {ActivationSite::attention_in,
       {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
       config.hidden_size},
      {ActivationSite::o_in, {"self_attn.o_proj"}, config.num_attention_heads * config.head_dim},
      {ActivationSite::mlp_in, {"mlp.gate_proj", "mlp.up_proj"}, config.hidden_size},
      {ActivationSite::down_in, {"mlp.down_proj"}, config.intermediate_size}};
}

QuantSpec weight_spec(const Format& format, std::int64_t layer, const std::string& linear) {
  return format.at(Site::w, static_cast<int>(layer),
                   fmt::format("model.layers.{}.{}", layer, linear));
}

/// How many consecutive inputs are within a group of the activation and of all its readers.
std::int64_t segment_of(const Format& format, const LlamaConfig& config, const SharedInput& input,
                        std::int64_t layer) {
  std::int64_t segment = std::gcd(
      input.features, activation_spec(format, config, input.place, layer).group);  // 0: the row
  for (const std::string& reader : input.readers)
    segment = std::gcd(segment, weight_spec(format, layer, reader).group);
  return segment;
}

}  // namespace

void check_integer_execution(const Format& format, const LlamaConfig& config, at::ScalarType dtype,
                             at::Device device, bool streams, const std::string& where,
                             Problems& problems) {
  const std::string what = "execution is \"integer\"";
  const std::string instead = "or execution = \"simulated\"";
  if (dtype == at::kDouble)
    problems.add(Error(where, what + ", but dtype fp64", "fp32, bf16 or fp16",
                       "scales are in float32 there; choose another dtype, " + instead));
  if (!device.is_cpu())
    problems.add(Error(where, fmt::format("{}, but the device {}", what, device.str()),
                       "the CPU: there are integer products for it alone",
                       "set device = \"cpu\", " + instead));
  if (streams)
    problems.add(Error(where, what + ", but memory_limit is below the weights",
                       "weights that are in memory as a whole",
                       "raise memory_limit or leave it out, " + instead));
  std::set<Site> left;  // sites of which it was said already that they stay in 16 bits
  bool too_long = false;
  for (std::int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    for (const SharedInput& input : shared_inputs(config)) {
      const std::string name = activation_name(input.place, layer);
      const QuantSpec x = activation_spec(format, config, input.place, layer);
      if (!x.active() && left.insert(Site::a).second)
        problems.add(Error(where, fmt::format("{}, but {} stays in 16 bits", what, name),
                           "2 to 8 bits at the input of every block Linear",
                           "choose a format such as w8a8, " + instead));
      for (const std::string& reader : input.readers) {
        const QuantSpec w = weight_spec(format, layer, reader);
        if (!w.active() && left.insert(Site::w).second)
          problems.add(Error(where,
                             fmt::format("{}, but the weight of {} in layer {} stays in 16 bits",
                                         what, reader, layer),
                             "2 to 8 bits of the weight of every block Linear",
                             "choose a format such as w8a8, " + instead));
        const std::int64_t segment = segment_of(format, config, input, layer);
        if (x.active() && w.active() && !too_long && !integer_sums_fit(segment, x, w)) {
          too_long = true;
          problems.add(
              Error(where,
                    fmt::format(
                        "{}, but a sum over the {} inputs of {} in {} and {} bits can leave int32",
                        what, segment, reader, x.bits, w.bits),
                    "groups, or fewer bits", "set format.w.group, " + instead));
        }
      }
    }
  }
}

void execute_as_integers(LlamaModel& model, const Format& format,
                         const std::function<QuantizedWeight(const std::string&)>& weight) {
  const LlamaConfig& config = model.config();
  Problems problems;
  check_integer_execution(format, config, model.dtype(), model.device(), model.streams(), "model",
                          problems);
  problems.throw_if_any();
  for (std::size_t layer = 0; layer < model.layers(); ++layer) {
    const auto number = static_cast<std::int64_t>(layer);
    model.change_block(layer, [&](LlamaBlock& block) {
      for (const SharedInput& input : shared_inputs(config)) {
        const std::int64_t segment = segment_of(format, config, input, number);
        const QuantSpec spec = activation_spec(format, config, input.place, number);
        SiteStep& quantizer = block.at(input.place).back();
        assert(is_quantizer(quantizer));
        quantizer.codes = [spec, segment,
                           what = activation_name(input.place, number)](const at::Tensor& x) {
          return std::make_shared<const IntegerInput>(integer_input(x, spec, segment, what));
        };
        for (const auto& [name, linear] : block.linears())
          if (std::find(input.readers.begin(), input.readers.end(), name) != input.readers.end())
            linear->integer = std::make_shared<const IntegerWeight>(
                integer_weight(weight(fmt::format("model.layers.{}.{}.weight", layer, name)),
                               linear->optional_bias(), segment));
      }
    });
  }
}

}  // namespace harness
