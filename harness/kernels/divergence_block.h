#pragma once

#include "harness/kernels/divergence_scalar.h"
#include "harness/kernels/exp.h"
#include "harness/kernels/quantize_scalar.h"
#include "harness/kernels/thread_block.h"

// Divergences and their gradient by a block of threads, a row at a time: CUDA, float64 on the CPU
// and tests alike (thread_block.h). A row is read once for its softmax and once more for the
// gradient, which is written a tile at a time: in shared memory lies what the subsets take from the
// tile.

namespace harness::kernels {

template <class C>
struct DivergenceShared {
  static constexpr int kTile = 32768 / sizeof(C);
  union {  // not needed at once
    double sums[3][kMostThreads];
    C tile[kTile];
  };
  double max, sum, mass;  // of the row's softmax
  C their_shift[kDivergenceTerms], our_shift[kDivergenceTerms];
  TermShares shares[kDivergenceTerms];
};

/// shared.sums[0][0] becomes the largest of `count` logits, shared.sums[1][0] the sum of their
/// exponentials over its own.
template <class Block, class C, class Logit>
HARNESS_INLINE void fold_exponentials(const Block& block, std::int64_t count, const Logit& logit,
                                      DivergenceShared<C>& shared) {
  double* most = shared.sums[0];
  double* sums = shared.sums[1];
  block.each([&](int thread) {
    C max = -largest_finite<C>(), sum = 0;
    for (std::int64_t i = thread; i < count; i += block.threads) {
      const C x = logit(i), above = x - max;
      const C ratio = exponential(above > C(0) ? -above : above);
      sum = above > C(0) ? sum * ratio + C(1) : sum + ratio;
      max = larger(x, max);
    }
    most[thread] = static_cast<double>(max);
    sums[thread] = static_cast<double>(sum);
  });
  fold_teams(block, block.threads, [&](int into, int from) {
    const double max = larger(most[from], most[into]);
    sums[into] = sums[into] * exp(most[into] - max) + sums[from] * exp(most[from] - max);
    most[into] = max;
  });
}

/// The shares of term `t`, into shared.shares; its value into *value.
/// @param z the row's logits
template <class Block, class T>
HARNESS_INLINE void find_shares(const Block& block, const T* z, const Divergences& d, int t,
                                std::int64_t row, double* value,
                                DivergenceShared<Compute<T>>& shared) {
  using C = Compute<T>;
  const DivergenceTerm& term = d.term[t];
  const TermOfRow<T> here(term, row);
  if (d.renormalise) {
    fold_exponentials<Block, C>(
        block, here.count, [&](std::int64_t i) { return to_compute(here.logits[i]); }, shared);
    block.each([&](int thread) {
      if (thread == 0) shared.their_shift[t] = static_cast<C>(shared.sums[0][0]);
    });
    fold_exponentials<Block, C>(
        block, here.count, [&](std::int64_t i) { return to_compute(z[here.index(i)]); }, shared);
    block.each([&](int thread) {
      if (thread == 0) shared.our_shift[t] = static_cast<C>(shared.sums[0][0]);
    });
  } else {
    block.each([&](int thread) {
      if (thread == 0) shared.their_shift[t] = static_cast<C>(term.log_sum_exp[row]);
    });
  }
  block.each([&](int thread) {
    double theirs = 0, ours = 0, difference = 0;
    for (std::int64_t i = thread; i < here.count; i += block.threads) {
      const C l = to_compute(here.logits[i]), x = to_compute(z[here.index(i)]);
      const double p = static_cast<double>(exponential(l - shared.their_shift[t]));
      theirs += p;
      difference += p * (static_cast<double>(l) - static_cast<double>(x));
      if (d.renormalise) ours += static_cast<double>(exponential(x - shared.our_shift[t]));
    }
    shared.sums[0][thread] = theirs;
    shared.sums[1][thread] = ours;
    shared.sums[2][thread] = difference;
  });
  fold_teams(block, block.threads, [&](int into, int from) {
    for (int k = 0; k < 3; ++k) shared.sums[k][into] += shared.sums[k][from];
  });
  block.each([&](int thread) {
    if (thread != 0) return;
    const SubsetSums sums{shared.sums[0][0], shared.sums[1][0], shared.sums[2][0]};
    shared.shares[t] = shares_of_term(
        d.renormalise, term.weight, sums, static_cast<double>(shared.their_shift[t]),
        d.renormalise ? static_cast<double>(shared.our_shift[t]) : shared.max + log(shared.sum));
    shared.mass += shared.shares[t].mass;
    *value = shared.shares[t].value;
  });
}

/// What term `t` takes from the softmax, added to the tile's values from `base` on, `size` of them.
template <class Block, class T>
HARNESS_INLINE void add_to_tile(const Block& block, const T* z, const Divergences& d, int t,
                                std::int64_t row, std::int64_t base, std::int64_t size,
                                DivergenceShared<Compute<T>>& shared) {
  using C = Compute<T>;
  const TermOfRow<T> here(d.term[t], row);
  const std::int64_t begin = here.indices ? 0 : base, end = here.indices ? here.count : base + size;
  block.each([&](int thread) {
    const C of_p = static_cast<C>(shared.shares[t].theirs);
    const C of_q = static_cast<C>(shared.shares[t].ours);
    for (std::int64_t i = begin + thread; i < end; i += block.threads) {
      const std::int64_t index = here.index(i), at = index - base;
      if (at < 0 || at >= size) continue;
      C less = of_p * exponential(to_compute(here.logits[i]) - shared.their_shift[t]);
      if (d.renormalise) less -= of_q * exponential(to_compute(z[index]) - shared.our_shift[t]);
      shared.tile[at] += less;
    }
  });
}

/// @param logits, gradient [rows, vocabulary]
/// @param values           [rows, terms]
template <class Block, class T>
HARNESS_INLINE void divergences_of_row(const Block& block, const T* logits, const Divergences& d,
                                       T* gradient, double* values, std::int64_t row,
                                       DivergenceShared<Compute<T>>& shared) {
  using C = Compute<T>;
  const T* z = logits + row * d.vocabulary;
  T* result = gradient + row * d.vocabulary;
  if (!d.renormalise)
    fold_exponentials<Block, C>(
        block, d.vocabulary, [&](std::int64_t i) { return to_compute(z[i]); }, shared);
  block.each([&](int thread) {
    if (thread != 0) return;
    shared.max = d.renormalise ? 0 : shared.sums[0][0];
    shared.sum = d.renormalise ? 1 : shared.sums[1][0];
    shared.mass = 0;
  });
  for (int t = 0; t < d.terms; ++t)
    find_shares(block, z, d, t, row, values + row * d.terms + t, shared);
  for (std::int64_t base = 0; base < d.vocabulary; base += shared.kTile) {
    const std::int64_t size = smaller<std::int64_t>(shared.kTile, d.vocabulary - base);
    block.each([&](int thread) {
      for (std::int64_t i = thread; i < size; i += block.threads) shared.tile[i] = 0;
    });
    for (int t = 0; t < d.terms; ++t) add_to_tile(block, z, d, t, row, base, size, shared);
    block.each([&](int thread) {
      const C max = static_cast<C>(shared.max);
      const C share = static_cast<C>(shared.mass / shared.sum);
      for (std::int64_t i = thread; i < size; i += block.threads) {
        const C softmax = d.renormalise ? C(0) : share * exponential(to_compute(z[base + i]) - max);
        result[base + i] = cast_to<T>(softmax - shared.tile[i]);
      }
    });
  }
}

}  // namespace harness::kernels
