#pragma once

#include <cstdint>

#include "harness/kernels/float_types.h"

// Causal attention in float32 on raw pointers, for processors with AVX-512 (cpu_has_avx512).
//
// Query heads of a group read the same K and V: their queries go together, token by token, through
// panels of 64 keys that stay in the first cache. Scores, their exponentials and the sum of values
// make no detour over memory. A query takes its keys in the same steps wherever it stands, so that
// its bits depend on nothing but what it sees.

namespace harness::cpu {

constexpr std::int64_t kPanelKeys = 64;
/// Queries that attend() takes at most.
constexpr std::int64_t kAttentionRows = 192;

/// Keys and values of a head as attend() reads them.
struct Panels {
  const float* keys;    // [panels, e, kPanelKeys]; what stands behind the last one does not matter
  const float* values;  // [tokens, padded_head_dim(e)]
};
HARNESS_INLINE std::int64_t panel_count(std::int64_t tokens) {
  return (tokens + kPanelKeys - 1) / kPanelKeys;
}
/// The next multiple of 16.
HARNESS_INLINE std::int64_t padded_head_dim(std::int64_t e) { return (e + 15) / 16 * 16; }

/// Lays out k [tokens, e], whose rows are `stride` floats apart, as the keys of Panels.
void pack_keys(const float* k, std::int64_t stride, std::int64_t tokens, std::int64_t e,
               float* keys);
/// The same of values.
void pack_values(const float* v, std::int64_t stride, std::int64_t tokens, std::int64_t e,
                 float* values);

/// The queries of tokens `begin` to `end` in the `group` heads that share a head of keys,
/// kAttentionRows of them at most, and where their results go. Strides in floats.
struct Queries {
  const float* q;
  std::int64_t token_stride, head_stride;
  float* out;
  std::int64_t out_token_stride, out_head_stride;
  std::int64_t group, begin, end;
};

/// Floats of scratch memory that attend() needs.
HARNESS_INLINE std::int64_t attention_scratch(std::int64_t e) {
  return kAttentionRows * (e + padded_head_dim(e));
}

/// out = softmax(scale * q k^T) v over the keys that each token sees: itself and the window - 1
/// before it. Exponentials by exp.h, sums in float32.
void attend(const Queries& queries, const Panels& panels, std::int64_t e, std::int64_t window,
            float scale, float* scratch);

}  // namespace harness::cpu
