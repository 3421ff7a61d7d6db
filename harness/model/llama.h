#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "harness/core/log.h"
#include "harness/kernels/row_steps.h"
#include "harness/model/checkpoint.h"
#include "harness/model/config.h"
#include "harness/model/rope.h"

namespace harness {

class KvCache;
class StoredBlocks;
struct IntegerInput;
struct IntegerWeight;
struct TokenForest;

/// What a Linear reads: values, or integer codes of them where it is computed from such.
struct LinearInput {
  LinearInput(at::Tensor x) : values(std::move(x)) {}
  at::Tensor values;                          // [..., in]
  std::shared_ptr<const IntegerInput> codes;  // null: the values are read
};

/// y = x W^T + b. weight [out, in]; bias [out] or undefined.
struct Linear {
  at::Tensor weight;
  at::Tensor bias;
  at::Tensor packed;  // of LlamaModel::pack_weights or pack_for_few_rows
  std::shared_ptr<const IntegerWeight> integer = {};  // that codes are multiplied with; or null
  at::Tensor apply(const LinearInput& x) const;
  std::optional<at::Tensor> optional_bias() const;
};

/// Places in a block's forward pass where a method may transform, quantize or record.
/// Those of methods.md section 2, and q (transformed together with k by an online Hadamard).
enum class ActivationSite {
  attention_in,  // input of q, k, v, after the input norm           [batch, tokens, hidden]
  o_in,     // input of o                                       [batch, tokens, heads * head_dim]
  mlp_in,   // input of up and gate, after the second norm      [batch, tokens, hidden]
  down_in,  // input of down                                    [batch, tokens, intermediate]
  q,        // Q after RoPE                                     [batch, heads, tokens, head_dim]
  k,        // K after RoPE                                     [batch, kv_heads, tokens, head_dim]
  v,        // V after its projection                           [batch, kv_heads, tokens, head_dim]
};
constexpr int kActivationSites = 7;
const char* activation_site_name(ActivationSite site);

/// What happens to an activation at a site: a step takes it and gives it back, changed or not (a
/// recorder only looks). Steps run in the order in which they were added.
struct SiteStep {
  std::string name;
  /// A step on rows can be done where they are made.
  std::variant<RowStep, std::function<at::Tensor(const at::Tensor&)>> action;
  /// Of the last step at the input of Linears that are computed from integers: instead of apply.
  std::function<std::shared_ptr<const IntegerInput>(const at::Tensor&)> codes = {};

  at::Tensor apply(const at::Tensor& x) const;
};

struct LlamaBlock {
  at::Tensor input_norm, post_attention_norm;  // [hidden]
  at::Tensor q_norm,
      k_norm;  // [head_dim], of each head before RoPE; undefined where there are none
  std::optional<std::int64_t> window;  // tokens that a token sees, itself included; none: all
  Linear q, k, v, o, gate, up, down;
  std::array<std::vector<SiteStep>, kActivationSites> sites;

  std::vector<SiteStep>& at(ActivationSite site) { return sites[static_cast<std::size_t>(site)]; }
  /// The block's Linears with their names in the checkpoint's spelling ("self_attn.q_proj", ...).
  std::vector<std::pair<std::string, Linear*>> linears();
  /// The block's weights, biases and norms with their names in the checkpoint's spelling
  /// ("input_layernorm.weight", "self_attn.q_proj.weight", ...).
  std::vector<std::pair<std::string, at::Tensor*>> named_tensors();
};

/// What goes through the model side by side: sequences, or a forest of them.
struct Pass {
  at::Tensor tokens{};                  // int64 [batch, tokens]; undefined of a forest
  KvCache* cache = nullptr;             // that sequences go on from; null: an empty context
  const TokenForest* forest = nullptr;  // null: sequences
  const KvCache* context = nullptr;     // of one row, that the forest goes on from; null: none
};

/// A LLaMA whose weights and sites a method may change. All of a dtype (float32, bfloat16, float16,
/// float64), all on one device; CPU and CUDA by the same code. The forward pass can be
/// differentiated where gradients are enabled.
///
/// A model that is larger than the memory it may take has the weights of one block at a time in
/// memory: streams(). Whoever reads or changes blocks by read_block() and change_block() need not
/// know.
class LlamaModel {
 public:
  /// The weights are copies, so that a method may write to them; tied ones are one tensor.
  /// @param checkpoint   outlives a model with a limit
  /// @param memory_limit bytes of weights that may be in memory at once, copies of pack_weights()
  ///                     included; none: all. The results are the same to the bit.
  /// @throws Error when a tensor is missing or of another shape than the config says, or the limit
  ///         is below streamed_weight_bytes()
  static std::unique_ptr<LlamaModel> load(const Checkpoint& checkpoint, at::ScalarType dtype,
                                          at::Device device,
                                          std::optional<std::int64_t> memory_limit = {});
  LlamaModel();
  ~LlamaModel();

  const LlamaConfig& config() const { return config_; }
  at::ScalarType dtype() const { return dtype_; }
  at::Device device() const { return device_; }
  /// Whether the weights of blocks are in memory only while they are read or changed.
  bool streams() const { return stored_ != nullptr; }
  std::size_t layers() const { return blocks_.size(); }
  /// Calls `look` with a block, whose weights are in memory until it returns: one block at a time.
  void read_block(std::size_t layer, const std::function<void(const LlamaBlock&)>& look) const;
  /// The same with a block that may be changed, and then stays as it is left.
  void change_block(std::size_t layer, const std::function<void(LlamaBlock&)>& change);
  /// The steps at a block's site: they are always in memory.
  std::vector<SiteStep>& steps(std::size_t layer, ActivationSite site) {
    return blocks_[layer].at(site);
  }
  /// All blocks.
  /// @throws Error when the model streams
  std::vector<LlamaBlock>& blocks();
  at::Tensor& embedding() { return unpacked().embedding_; }  // [vocabulary, hidden]
  at::Tensor& final_norm() { return final_norm_; }
  Linear& lm_head() { return unpacked().lm_head_; }  // shares the embedding's storage when tied
  const Linear& lm_head() const { return lm_head_; }
  /// Gives a tied head a weight of its own; config().tie_word_embeddings is false from then on.
  /// @throws Error when the memory limit leaves no room for it
  void untie();
  /// Every weight with its name in the checkpoint; a tied head is not named apart.
  /// @throws Error when the model streams
  std::vector<std::pair<std::string, at::Tensor*>> named_tensors();

  /// For a model that will not change any more: lays the weights out for the fastest products where
  /// there are such (packed_linear.h), at the cost of a second copy. Whoever asks for weights to
  /// change them drops it.
  void pack_weights();
  /// The same for products with the few rows of a generation's steps, where pack_weights() has
  /// nothing to do (float32), until drop_packed_for_few_rows().
  void pack_for_few_rows();
  void drop_packed_for_few_rows();

  // The forward pass in steps, for methods that go through the model block by block.
  /// @param tokens int64 [batch, tokens] on any device
  /// @return [batch, tokens, hidden]
  /// @throws Error on a token id outside the embedding
  at::Tensor embed(const at::Tensor& tokens) const;
  Rope rope(std::int64_t tokens) const { return make_rope(config_, tokens, dtype_, device_); }
  /// One block on x [batch, tokens, hidden], whose rows start at position 0; x stays as it is.
  at::Tensor apply_block(const LlamaBlock& block, const at::Tensor& x, const Rope& rope) const;

  /// The final hidden states, after the last norm. Each row of `tokens` is a sequence from an empty
  /// context.
  /// @param tokens int64 [batch, tokens]
  /// @return [batch, tokens, hidden]
  /// @throws Error on a token id outside the embedding
  at::Tensor hidden(const at::Tensor& tokens) const;
  /// The same for tokens that go on from what `cache` holds of their rows. The caller then says, by
  /// cache.advance(), how many of each row's tokens are its own.
  at::Tensor hidden(const at::Tensor& tokens, KvCache& cache) const;
  /// The same for a forest whose context is the one row of `context` (null where it has none),
  /// which stays as it is.
  /// @return [1, tokens, hidden]
  at::Tensor hidden(const TokenForest& forest, const KvCache* context) const;
  /// The same for several passes with caches of their own, all of which go through a block before
  /// the next: the bits of one after the other, but a block comes into memory once.
  std::vector<at::Tensor> hidden_together(const std::vector<Pass>& passes,
                                          const ShareDone& done = {}) const;
  /// How many tokens hidden_together() is best given at once: so many that their states take as
  /// much memory as the weights of a block. 0 where it gains nothing, all blocks being in memory.
  std::int64_t tokens_together() const;
  /// Logits [..., vocabulary] of final hidden states [..., hidden].
  at::Tensor head(const at::Tensor& states) const { return lm_head_.apply(states); }
  /// Logits [batch, tokens, vocabulary] in the model's dtype. For short inputs: all of them at
  /// once.
  at::Tensor logits(const at::Tensor& tokens) const;
  /// Negative log-likelihood of tokens 1.. given those before: float32 [batch, tokens - 1]. Logits
  /// are made in chunks of nll_chunk_tokens() tokens, or of columns: 64 MB of them at most.
  at::Tensor token_nll(const at::Tensor& tokens) const;
  /// The same for several batches, by hidden_together().
  std::vector<at::Tensor> token_nll_together(const std::vector<at::Tensor>& batches,
                                             const ShareDone& done = {}) const;

 private:
  at::Tensor nll_of_states(const at::Tensor& states, const at::Tensor& tokens) const;
  LlamaModel& unpacked();
  std::vector<Linear*> linears_in_memory();

  LlamaConfig config_;
  at::ScalarType dtype_;
  at::Device device_{at::kCPU};
  at::Tensor embedding_, final_norm_;
  Linear lm_head_;
  std::vector<LlamaBlock> blocks_;  // steps only, where the weights are in stored_
  std::unique_ptr<StoredBlocks> stored_;
  std::optional<std::int64_t> memory_limit_;
  mutable bool visited_ = false;  // a stored block is in memory
  bool prefetches_ = false;       // there is room for the block after the one that is read
  bool packed_ = false;
};

/// How many tokens' logits are held at once by token_nll: as many as fit in 64 MB, one at least.
std::int64_t nll_chunk_tokens(std::int64_t vocabulary, at::ScalarType dtype);

}  // namespace harness
