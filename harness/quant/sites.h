#pragma once

#include "harness/core/error.h"
#include "harness/core/format.h"
#include "harness/model/llama.h"

namespace harness {

/// Adds the activation, K and V quantizers of `format` to the model's sites, after whatever methods
/// put there (an online Hadamard comes before the quantizer). Sites of 16 bits get no step.
void install_quantizers(LlamaModel& model, const Format& format);

/// Adds what is wrong with a format for a model of this shape: groups that do not divide, bits out
/// of range, overrides that match nothing.
void check_format(const Format& format, const LlamaConfig& config, Problems& problems);

}  // namespace harness
