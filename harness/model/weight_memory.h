#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <optional>

#include "harness/model/config.h"

// What the weights of a model take in memory.

namespace harness {

/// Values in all tensors; a tied head counts once.
std::int64_t parameter_count(const LlamaConfig& config);
/// Values in the tensors of a block.
std::int64_t block_parameter_count(const LlamaConfig& config);

/// Bytes of all weights.
std::int64_t weight_bytes(const LlamaConfig& config, c10::ScalarType dtype);

/// Bytes of the second copies that LlamaModel::pack_weights() makes of all blocks and the head; 0
/// where there are no packed products.
std::int64_t packed_bytes(const LlamaConfig& config, c10::ScalarType dtype, c10::Device device);

/// The most bytes of weights at once in a model whose blocks come into memory one by one: what
/// stands outside of the blocks, one block, and, where weights are packed, the copies of the head
/// and of the block's largest Linear (whose weight goes when it is packed).
std::int64_t streamed_weight_bytes(const LlamaConfig& config, c10::ScalarType dtype,
                                   c10::Device device);

/// Whether a model that may have so many bytes of weights in memory has its blocks there one by
/// one; with no limit, and with one that they all keep, it has not.
/// @throws Error when the limit is below streamed_weight_bytes()
bool streams_at(const LlamaConfig& config, c10::ScalarType dtype, c10::Device device,
                std::optional<std::int64_t> memory_limit);

/// Whether the limit of a model that streams leaves room for the next block beside the one that is
/// read.
bool prefetches_at(const LlamaConfig& config, c10::ScalarType dtype, c10::Device device,
                   std::int64_t memory_limit);

/// @throws Error when such a model's tied head cannot have a weight of its own (which transforms
/// give it) within the limit
void check_room_for_head(const LlamaConfig& config, c10::ScalarType dtype, c10::Device device,
                         std::optional<std::int64_t> memory_limit);

}  // namespace harness
