#pragma once

#include <cmath>
#include <cstdint>

#include "harness/kernels/float_types.h"

// Divergences of rows of logits z, whose softmax is q, from the softmax p of logits l, on subsets
// of the vocabulary: what the lanes (divergence_lanes.h) and the blocks of threads
// (divergence_block.h) share.

namespace harness::kernels {

constexpr int kDivergenceTerms = 2;

/// A weighted sum over i in a subset of p_i (log p_i - log q_i), for each row.
struct DivergenceTerm {
  const std::int64_t* indices;  // [rows, count], none twice in a row; null: all, in their order
  const void* logits;           // [rows, count] l, of the type of z
  const double* log_sum_exp;    // [rows] of l over the whole vocabulary; null where renormalised
  std::int64_t count;
  double weight;
};

struct Divergences {
  std::int64_t vocabulary;
  bool renormalise;  // p and q are softmaxes over the subset, else over the whole vocabulary
  int terms;
  DivergenceTerm term[kDivergenceTerms];
};

/// The subsets' largest size.
HARNESS_INLINE std::int64_t largest_count(const Divergences& d) {
  std::int64_t most = 0;
  for (int t = 0; t < d.terms; ++t)
    if (d.term[t].count > most) most = d.term[t].count;
  return most;
}

/// Values of memory that a thread needs to work in lanes.
HARNESS_INLINE std::int64_t divergence_memory(const Divergences& d) {
  return 2 * d.vocabulary + 4 * largest_count(d);
}

/// A term's places of one row.
/// @param T a stored type
template <class T>
struct TermOfRow {
  const std::int64_t* indices;
  const T* logits;
  std::int64_t count;

  HARNESS_INLINE TermOfRow(const DivergenceTerm& term, std::int64_t row)
      : indices(term.indices ? term.indices + row * term.count : nullptr),
        logits(static_cast<const T*>(term.logits) + row * term.count),
        count(term.count) {}
  HARNESS_INLINE std::int64_t index(std::int64_t i) const { return indices ? indices[i] : i; }
};

/// Sums over a subset. `ours` is needed where the term is renormalised.
struct SubsetSums {
  double theirs;      // of exp(l_i - their shift)
  double ours;        // of exp(z_i - our shift)
  double difference;  // of exp(l_i - their shift) (l_i - z_i)
};

/// What a term does to a row. In the gradient the subset's places get
/// ours exp(z_i - our shift) - theirs exp(l_i - their shift), and the softmax of z its mass.
struct TermShares {
  double value;  // without the weight
  double mass;
  double theirs, ours;
};

/// @param their_shift renormalised: near the largest l_i; else log-sum-exp of all l
/// @param our_shift   as their_shift, of z
HARNESS_INLINE TermShares shares_of_term(bool renormalise, double weight, const SubsetSums& sums,
                                         double their_shift, double our_shift) {
  if (renormalise)
    return {
        sums.difference / sums.theirs + (our_shift - their_shift) + log(sums.ours / sums.theirs), 0,
        weight / sums.theirs, weight / sums.ours};
  return {sums.difference + (our_shift - their_shift) * sums.theirs, weight * sums.theirs, weight,
          0};
}

}  // namespace harness::kernels
