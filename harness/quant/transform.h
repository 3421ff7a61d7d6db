#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "harness/model/llama.h"

// What rotations and smoothing share: methods.md section 5. With d the hidden size, h heads over
// h_kv key and value heads of size e, f the MLP's size.

namespace harness {

/// Rotations R (orthogonal) and scales S (positive) that leave the unquantized network's function
/// as it is. Undefined tensors and empty vectors: that transform is off. All of them float64, on
/// any device.
struct Transform {
  at::Tensor r_res = {};              // [d, d]: the residual stream x becomes x R
  std::vector<at::Tensor> r_ov = {};  // per layer [h_kv, e, e]: a head's V becomes V R

  std::vector<at::Tensor> s_qk = {};  // per layer [h_kv * e]: K * S, Q / S; exact where S is equal
                                      // on RoPE's pairs (i, i + e/2). [e], shared by the heads,
                                      // where the block has q and k norms: S is then in their gains
  std::vector<at::Tensor> s_ov = {};  // per layer [h_kv * e]: V / S, before R_ov
  std::vector<at::Tensor> s_up_down = {};                     // per layer [f]: up / S, before H_f
  std::vector<at::Tensor> s_norm_attn = {}, s_norm_mlp = {};  // per layer [d]: norm's output / S

  // Hadamard matrices at run time (hadamard_transform()), and their inverse in the next weight.
  bool online_down = false;   // H_f on down's input
  bool online_qk = false;     // H_e on Q and K after RoPE, which leaves the scores as they are
  bool online_heads = false;  // H_h on o's input, across the heads
};

/// Unties the head and moves every norm's gain into the Linears that read it (the final norm's into
/// the head), so that all gains are 1. In float64, stored in the model's dtype; the same as fold()
/// of nothing.
void fold_norms(LlamaModel& model);

/// Folds a transform into the weights, and adds the steps of its online part to the sites: to be
/// called before quantizers are installed. Norm gains are folded first where they are not 1 yet;
/// those of the blocks are 1 / S_norm afterwards. In float64, rounded once to the model's dtype.
/// @throws Error when a tensor's shape is not that of the model
void fold(LlamaModel& model, const Transform& transform);

/// Adds the steps of a transform's online part to the sites of a model whose weights it is folded
/// into.
void add_online_steps(LlamaModel& model, const Transform& transform);

/// Says in the log that `what` is mixed in blocks only, where no Hadamard matrix of order n is
/// known.
void log_partial_hadamard(const std::string& what, std::int64_t n);

}  // namespace harness
