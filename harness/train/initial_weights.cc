#include "harness/train/initial_weights.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "harness/core/rng.h"

namespace harness {
namespace {

bool ends_with(const std::string& text, const char* end) { return glob_match(end, text); }

}  // namespace

void check_init(const LlamaConfig& config, const InitOptions& options) {
  const auto expected = expected_tensors(config);
  for (const InitGroup& group : options.groups)
    if (std::none_of(expected.begin(), expected.end(),
                     [&](const auto& entry) { return glob_match(group.match, entry.first); }))
      throw Error("init.groups", fmt::format("\"{}\" matches no tensor of the model", group.match),
                  "a glob on names such as \"model.embed_tokens.weight\"");
  if (static_cast<std::int64_t>(options.embedding_offsets.size()) > config.hidden_size)
    throw Error("init.embedding_offsets",
                fmt::format("{} numbers", options.embedding_offsets.size()),
                fmt::format("at most {}, the embedding's channels", config.hidden_size));
}

TensorCheckpoint initial_weights(const LlamaConfig& config, const InitOptions& options,
                                 std::uint64_t seed) {
  check_init(config, options);
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, shape] : expected_tensors(config)) {
    at::Tensor tensor = at::empty(shape, at::kFloat);
    const bool is_norm = ends_with(name, "*norm.weight"), is_bias = ends_with(name, "*.bias");
    if (is_norm || is_bias) {
      tensors[name] = tensor.fill_(is_norm ? 1 : 0);
      continue;
    }
    double std = options.std;
    for (const InitGroup& group : options.groups)
      if (glob_match(group.match, name)) {
        std = group.std;
        break;
      }
    if (options.scale_residual &&
        (ends_with(name, "*.o_proj.weight") || ends_with(name, "*.down_proj.weight")))
      std /= std::sqrt(2.0 * static_cast<double>(config.num_hidden_layers));
    Philox stream(seed, "initial weights", name);
    auto* values = tensor.mutable_data_ptr<float>();
    for (std::int64_t i = 0; i < tensor.numel(); ++i)
      values[i] = static_cast<float>(std * stream.normal());
    if (name == "model.embed_tokens.weight")
      for (std::size_t channel = 0; channel < options.embedding_offsets.size(); ++channel)
        tensor.select(1, static_cast<std::int64_t>(channel))
            .add_(options.embedding_offsets[channel]);
    tensors[name] = tensor;
  }
  return TensorCheckpoint(config, std::move(tensors));
}

}  // namespace harness
