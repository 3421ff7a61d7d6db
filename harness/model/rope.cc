#include "harness/model/rope.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "harness/core/error.h"

namespace harness {

namespace {

// Llama 3.1: long wavelengths are stretched by `factor`, short ones stay, those between are
// blended.
at::Tensor llama3_frequencies(const at::Tensor& frequencies, const RopeScaling& scaling) {
  const double context = static_cast<double>(scaling.original_max_position_embeddings);
  const double longest_kept = context / scaling.high_freq_factor;
  const double shortest_stretched = context / scaling.low_freq_factor;
  const at::Tensor wavelength = 2 * M_PI / frequencies;
  const at::Tensor stretched =
      at::where(wavelength > shortest_stretched, frequencies / scaling.factor, frequencies);
  const at::Tensor share = (context / wavelength - scaling.low_freq_factor) /
                           (scaling.high_freq_factor - scaling.low_freq_factor);
  const at::Tensor blended = (1 - share) * stretched / scaling.factor + share * stretched;
  const at::Tensor between =
      (wavelength >= longest_kept).logical_and(wavelength <= shortest_stretched);
  return at::where(between, blended, stretched);
}

// YaRN (arXiv 2309.00071): dimensions that turn often within the original context keep their
// frequency, those that turn seldom are stretched by `factor`, a linear ramp lies between.
at::Tensor yarn_frequencies(const at::Tensor& powers, const LlamaConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  const auto dimensions = static_cast<double>(config.head_dim);
  // The dimension that turns `rotations` times within the original context.
  auto dimension = [&](double rotations) {
    const auto context = static_cast<double>(scaling.original_max_position_embeddings);
    return dimensions * std::log(context / (rotations * 2 * M_PI)) /
           (2 * std::log(config.rope_theta));
  };
  double low = dimension(scaling.beta_fast), high = dimension(scaling.beta_slow);
  if (scaling.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dimensions - 1);
  if (low == high) high += 0.001;
  const at::Tensor ramp =
      at::clamp((at::arange(powers.size(0), powers.options()) - low) / (high - low), 0, 1);
  const at::Tensor kept = 1 - ramp;
  return at::reciprocal(scaling.factor * powers) * (1 - kept) + at::reciprocal(powers) * kept;
}

// What cos and sin are multiplied by.
double rope_amplitude(const RopeScaling& scaling) {
  if (scaling.type != "yarn") return 1;
  if (scaling.attention_factor) return *scaling.attention_factor;
  return scaling.factor <= 1 ? 1 : 0.1 * std::log(scaling.factor) + 1;
}

}  // namespace

at::Tensor rope_frequencies(const LlamaConfig& config, at::ScalarType dtype) {
  const at::Tensor exponents =
      at::arange(0, config.head_dim, 2, at::kLong).to(dtype) / static_cast<double>(config.head_dim);
  const at::Tensor powers = at::pow(config.rope_theta, exponents);
  const at::Tensor frequencies = at::reciprocal(powers);
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.type == "default") return frequencies;
  if (scaling.type == "linear") return frequencies / scaling.factor;
  if (scaling.type == "llama3") return llama3_frequencies(frequencies, scaling);
  if (scaling.type == "yarn") return yarn_frequencies(powers, config);
  throw Error("config.json", "rope type \"" + scaling.type + "\"",
              "default, linear, llama3 or yarn",
              "use a checkpoint whose rope scaling is one of these");
}

Rope make_rope(const LlamaConfig& config, std::int64_t positions, at::ScalarType dtype,
               at::Device device) {
  const at::ScalarType angle_dtype = dtype == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor angles =
      at::outer(at::arange(positions, angle_dtype), rope_frequencies(config, angle_dtype));
  const double amplitude = rope_amplitude(config.rope_scaling);
  return {(angles.cos() * amplitude).to(device), (angles.sin() * amplitude).to(device)};
}

}  // namespace harness
