#include "harness/model/rope.h"

#include <ATen/ATen.h>

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

}  // namespace

at::Tensor rope_frequencies(const LlamaConfig& config, at::ScalarType dtype) {
  const at::Tensor exponents =
      at::arange(0, config.head_dim, 2, at::kLong).to(dtype) / static_cast<double>(config.head_dim);
  const at::Tensor frequencies = at::reciprocal(at::pow(config.rope_theta, exponents));
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.type == "default") return frequencies;
  if (scaling.type == "linear") return frequencies / scaling.factor;
  if (scaling.type == "llama3") return llama3_frequencies(frequencies, scaling);
  throw Error("config.json", "rope type \"" + scaling.type + "\"", "default, linear or llama3",
              "use a checkpoint whose rope scaling is one of these");
}

Rope make_rope(const LlamaConfig& config, std::int64_t positions, at::ScalarType dtype,
               at::Device device) {
  const at::ScalarType angle_dtype = dtype == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor angles =
      at::outer(at::arange(positions, angle_dtype), rope_frequencies(config, angle_dtype));
  return {angles.cos().to(device), angles.sin().to(device)};
}

}  // namespace harness
