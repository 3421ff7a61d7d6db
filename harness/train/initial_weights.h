#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/core/config.h"
#include "harness/model/tensor_checkpoint.h"

namespace harness {

struct InitGroup {
  std::string match;
  double std = 0;
  template <class Visitor>
  void visit(Visitor&& v) {
    v("match", match, Field{.doc = "glob on tensor names", .required = true});
    v("std", std, Field{.doc = "standard deviation", .min = 0, .required = true});
  }
};

/// How the weights of a new model are drawn: normal around 0, norms 1, biases 0.
struct InitOptions {
  double std = 0.02;
  std::vector<InitGroup> groups;
  std::vector<double> embedding_offsets;
  bool scale_residual = true;
  template <class Visitor>
  void visit(Visitor&& v) {
    v("std", std, Field{.doc = "standard deviation of the weights", .min = 0});
    v("groups", groups, Field{.doc = "[{ match, std }]; the first that matches"});
    v("embedding_offsets", embedding_offsets,
      Field{.doc = "added to the first channels of the embedding: planted outliers"});
    v("scale_residual", scale_residual,
      Field{.doc = "divide what writes to the residual stream (o, down) by sqrt(2 layers)"});
  }
};

/// @throws Error when a group matches no tensor, or there are more offsets than channels
void check_init(const LlamaConfig& config, const InitOptions& options);

/// A new model's weights in float32, each tensor drawn from Philox(seed, "initial weights", name).
/// @throws Error as check_init
TensorCheckpoint initial_weights(const LlamaConfig& config, const InitOptions& options,
                                 std::uint64_t seed);

}  // namespace harness
