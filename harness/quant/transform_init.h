#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "harness/core/rng.h"
#include "harness/model/llama.h"
#include "harness/quant/transform.h"

// Where rotations start: methods.md section 5.

namespace harness {

/// H_n diag(+-1), float64 [n, n] on the CPU.
at::Tensor random_hadamard(std::int64_t n, Philox& stream);

/// The eigenvectors of a symmetric matrix [n, n] as columns, the largest eigenvalue first; the
/// component of largest magnitude of each (the first of equals) is positive, so that they do not
/// depend on the library's choice of signs. Float64 [n, n] on the CPU.
at::Tensor principal_axes(const at::Tensor& symmetric);

/// The values of option `init` of every method that trains rotations: "identity", "hadamard" (a
/// random one), "pca-hadamard" (principal axes times a random Hadamard matrix).
const std::vector<std::string>& rotation_inits();

/// Sets r_res and r_ov to where training starts. The principal axes are those of the rows that
/// R_res multiplies, of [q, k, v, up, gate] of all layers with norm gains folded and their mean
/// removed; and, for a kv head, of the rows of o's columns of the heads that read it.
/// The draws depend on the seed and on nothing else, so that all methods start at the same place.
/// @param init  one of rotation_inits()
/// @param model unchanged; its norm gains are taken into account whether folded or not
void init_rotations(Transform& transform, LlamaModel& model, const std::string& init,
                    std::uint64_t seed);

}  // namespace harness
