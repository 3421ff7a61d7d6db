#pragma once

#include <functional>
#include <string>

#include "harness/core/error.h"
#include "harness/core/format.h"
#include "harness/kernels/ops.h"
#include "harness/model/llama.h"

// A quantized model whose block Linears are computed as products of integers (integer_linear.h), as
// a deployment would run them, where otherwise they are simulated: floating-point products of
// weights and inputs that are quantized and dequantized. Embedding, head, attention and what stands
// between the products are computed as ever, K and V quantized as ever.

namespace harness {

/// Adds why the block Linears of such a model cannot be computed so, if they cannot: a weight or an
/// input that stays in 16 bits, float64, another device than the CPU, weights that are not in
/// memory, sums beyond int32.
/// @param streams the model's blocks come into memory one by one
void check_integer_execution(const Format& format, const LlamaConfig& config, at::ScalarType dtype,
                             at::Device device, bool streams, const std::string& where,
                             Problems& problems);

/// From here on the model is computed so, and its weights may not be changed any more.
/// @param model  with the quantizers of `format` installed
/// @param weight the quantized weight of that name, "model.layers.0.mlp.up_proj.weight"
/// @throws Error as check_integer_execution()
void execute_as_integers(LlamaModel& model, const Format& format,
                         const std::function<QuantizedWeight(const std::string&)>& weight);

}  // namespace harness
