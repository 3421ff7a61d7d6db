#pragma once

#include <cstdint>

#include "harness/kernels/float_types.h"

// Causal attention on raw pointers, for processors with AVX-512: in float32, of tensors in float32,
// bfloat16 or float16 (attention_avx512.cc); in bfloat16 where AVX-512 has products of it
// (attention_avx512bf16.cc) or there is AMX (attention_amx.cc).
//
// Query heads of a group read the same K and V: their queries go together, token by token, through
// panels of keys that stay in a near cache. Scores, their exponentials and the sum of values make
// no detour over memory. A query takes its keys in the same steps wherever it stands, so that its
// bits depend on nothing but what it sees.

namespace harness::cpu {

using kernels::Bf16, kernels::Half;

constexpr std::int64_t kPanelKeys = 64;
/// Queries that attend() takes at most.
constexpr std::int64_t kAttentionRows = 192;

/// A score whose weight is 0, and one that no score is below.
constexpr float kUnseen = -__builtin_inff(), kLowest = -3.4e38f;

HARNESS_INLINE std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
HARNESS_INLINE std::int64_t most(std::int64_t a, std::int64_t b) { return a > b ? a : b; }
HARNESS_INLINE std::int64_t rounded_up(std::int64_t n, std::int64_t unit) {
  return (n + unit - 1) / unit * unit;
}
/// Features of a query and a key as they are laid out: a tile multiplies 32 of bfloat16 at once.
template <class T>
HARNESS_INLINE std::int64_t laid_out_features(std::int64_t e) {
  return rounded_up(e, sizeof(T) == sizeof(Bf16) ? 32 : 1);
}
/// Features of a value as they are laid out.
HARNESS_INLINE std::int64_t value_width(std::int64_t e) { return rounded_up(e, 16); }

/// Keys and values of a head as attend() reads them.
template <class T>
struct Panels {
  const T* keys;    // [panels, laid_out_features * kPanelKeys]
  const T* values;  // [tokens, value_width], in bfloat16 up to a multiple of 32 tokens
};
/// Values of T in the keys of Panels.
template <class T>
HARNESS_INLINE std::int64_t packed_keys(std::int64_t tokens, std::int64_t e) {
  return rounded_up(tokens, kPanelKeys) * laid_out_features<T>(e);
}
template <class T>
HARNESS_INLINE std::int64_t packed_values(std::int64_t tokens, std::int64_t e) {
  return rounded_up(tokens, sizeof(T) == sizeof(Bf16) ? 32 : 1) * value_width(e);
}

/// Lays out k [tokens, e], whose rows are `stride` values apart, as the keys of Panels. T: float,
/// Bf16, Half.
template <class T>
void pack_keys(const T* k, std::int64_t stride, std::int64_t tokens, std::int64_t e, float* keys);
void pack_keys(const Bf16* k, std::int64_t stride, std::int64_t tokens, std::int64_t e, Bf16* keys);
/// The same of values.
template <class T>
void pack_values(const T* v, std::int64_t stride, std::int64_t tokens, std::int64_t e,
                 float* values);
void pack_values(const Bf16* v, std::int64_t stride, std::int64_t tokens, std::int64_t e,
                 Bf16* values);

/// The queries of tokens `begin` to `end` in the `group` heads that share a head of keys,
/// kAttentionRows of them at most, and where their results go. Strides in values.
template <class T>
struct Queries {
  const T* q;
  std::int64_t token_stride, head_stride;
  T* out;
  std::int64_t out_token_stride, out_head_stride;
  std::int64_t group, begin, end;
};

/// visit(row, token, head) for each of them, in the order in which attend() lays them out.
template <class T, class Visit>
HARNESS_INLINE void for_queries(const Queries<T>& queries, const Visit& visit) {
  std::int64_t row = 0;
  for (std::int64_t token = queries.begin; token < queries.end; ++token)
    for (std::int64_t head = 0; head < queries.group; ++head) visit(row++, token, head);
}

/// Of the scores of keys `first` to `first` + `keys` those that a token does not see become
/// kUnseen.
HARNESS_INLINE void hide_unseen(float* scores, std::int64_t first, std::int64_t keys,
                                std::int64_t token, std::int64_t window) {
  const std::int64_t end = least(keys, most(0, token + 1 - first));
  const std::int64_t begin = least(end, token + 1 - window - first);
  for (std::int64_t key = 0; key < begin; ++key) scores[key] = kUnseen;
  for (std::int64_t key = end; key < keys; ++key) scores[key] = kUnseen;
}

/// Floats of scratch memory that attend() needs, best at an address that 64 divides.
template <class T>
HARNESS_INLINE std::int64_t attention_scratch(std::int64_t e) {
  return kAttentionRows * (laid_out_features<T>(e) * static_cast<std::int64_t>(sizeof(T)) /
                               static_cast<std::int64_t>(sizeof(float)) +
                           value_width(e));
}

/// out = softmax(scale * q k^T) v over the keys that each token sees: itself and the window - 1
/// before it. Exponentials by exp.h, sums in float32; with panels in bfloat16 the weights of the
/// values are rounded to it before they are multiplied. T: float, Bf16, Half.
template <class T>
void attend(const Queries<T>& queries, const Panels<float>& panels, std::int64_t e,
            std::int64_t window, float scale, float* scratch);
void attend(const Queries<Bf16>& queries, const Panels<Bf16>& panels, std::int64_t e,
            std::int64_t window, float scale, float* scratch);
/// The same by AMX.
void attend_in_tiles(const Queries<Bf16>& queries, const Panels<Bf16>& panels, std::int64_t e,
                     std::int64_t window, float scale, float* scratch);

}  // namespace harness::cpu
