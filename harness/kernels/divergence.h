#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

// The losses over logits that a transform is trained on, with their gradient in one go (methods.md
// section 6): cross entropy, and divergences from other models on subsets of the vocabulary.

namespace harness {

/// sum over i in a subset of p_i (log p_i - log q_i), for each of n rows: p of these logits, q of
/// the ones that the gradient is wanted for.
struct DivergenceFrom {
  // int64 [n, k], none twice in a row (top-k gives none); undefined: the whole vocabulary
  at::Tensor indices = {};
  at::Tensor logits = {};       // [n, k] or [n, vocabulary], of the dtype of the others
  at::Tensor log_sum_exp = {};  // [n] of the whole vocabulary; not needed where renormalised
  double weight = 1;
};

/// The gradient of a weighted sum of divergences, all rows together. Memory is read once for a
/// row's softmax and written once; what lies between are a few rows of float32 a thread on the CPU,
/// and on CUDA a second reading of the row. On the CPU the exponential is within 2 ulp, a row's
/// sums run in float64, and no bit depends on the threads; on CUDA it waits for nothing. float64
/// stays float64.
/// @param logits      [n, vocabulary], floating point; a NaN or +infinity makes sums and gradient
///                    something that is not finite
/// @param terms       one or two, where the logits are or on the CPU: there indices are checked
/// @param renormalise p and q are softmaxes over the subset, else over the whole vocabulary
/// @param sums        float64 [terms], where the logits are; each divergence of all rows, without
///                    its weight, is added
/// @return [n, vocabulary], of the logits' dtype
/// @throws Error on shapes and dtypes that do not fit, and on an index outside the vocabulary
at::Tensor divergence_gradient(const at::Tensor& logits, const std::vector<DivergenceFrom>& terms,
                               bool renormalise, at::Tensor& sums);

}  // namespace harness
