#pragma once

#include <cstring>

#include "harness/kernels/divergence_scalar.h"
#include "harness/kernels/exp.h"
#include "harness/kernels/grid_lanes.h"
#include "harness/kernels/token_nll_lanes.h"

// Divergences and their gradient in 16 lanes of float32, sums in float64 (L: portable, AVX2 or
// AVX-512; the same operations in the same order, so the same bits). In an unnamed namespace for
// the reason given in float_types.h.

namespace harness::kernels {
namespace {

template <class L, class T>
HARNESS_INLINE void widen(const T* x, std::int64_t count, float* y) {
  for_lanes(
      count, [&](std::int64_t j) { L::store(y + j, L::load(x + j)); },
      [&](std::int64_t j, int left) {
        L::store_part(y + j, left, L::load_part(x + j, left, 0.0f));
      });
}

/// y = exp(x - shift).
template <class L>
HARNESS_INLINE void exponentials_of(const float* x, std::int64_t count, float shift, float* y) {
  using F = typename L::F;
  const F by = L::set(shift);
  for_lanes(
      count,
      [&](std::int64_t j) { L::store(y + j, exp_nonpositive<L>(L::sub(L::load(x + j), by))); },
      [&](std::int64_t j, int left) {
        L::store_part(y + j, left,
                      exp_nonpositive<L>(L::sub(L::load_part(x + j, left, shift), by)));
      });
}

/// The sum of value(j), value j in lane j mod 16.
template <class Value>
HARNESS_INLINE double sum_in_lanes(std::int64_t count, Value&& value) {
  double lanes[kLanes] = {};
  std::int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes)
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += value(j + lane);
  for (int lane = 0; j < count; ++j, ++lane) lanes[lane] += value(j);
  return fold_lanes(lanes);
}

/// A thread's memory from row to row.
struct DivergenceScratch {
  float* correction;     // [vocabulary] what is taken from the softmax; zeros between rows
  float* exponentials;   // [vocabulary] of z over the row's largest
  float *theirs, *ours;  // [largest count] logits of a subset
  float *their_exponentials, *our_exponentials;

  /// @param memory divergence_memory() values
  DivergenceScratch(const Divergences& d, float* memory)
      : correction(memory),
        exponentials(correction + d.vocabulary),
        theirs(exponentials + d.vocabulary),
        ours(theirs + largest_count(d)),
        their_exponentials(ours + largest_count(d)),
        our_exponentials(their_exponentials + largest_count(d)) {}
};

/// Adds what the term takes from the softmax of a row to scratch.correction.
/// @param z           the row's logits
/// @param log_sum_exp of z where not renormalised
template <class L, class T>
HARNESS_INLINE TermShares add_term(const T* z, const Divergences& d, const DivergenceTerm& term,
                                   std::int64_t row, double log_sum_exp,
                                   const DivergenceScratch& scratch) {
  const TermOfRow<T> here(term, row);
  const std::int64_t count = here.count;
  widen<L>(here.logits, count, scratch.theirs);
  if (here.indices)
    for (std::int64_t i = 0; i < count; ++i) scratch.ours[i] = to_compute(z[here.indices[i]]);
  else
    widen<L>(z, count, scratch.ours);

  const float* theirs = scratch.theirs;
  const float* ours = scratch.ours;
  float* p = scratch.their_exponentials;
  float* q = scratch.our_exponentials;
  const float their_shift =
      d.renormalise ? largest_of_row<L>(theirs, count) : static_cast<float>(term.log_sum_exp[row]);
  exponentials_of<L>(theirs, count, their_shift, p);
  SubsetSums sums{};
  sums.theirs = sum_in_lanes(count, [&](std::int64_t i) { return static_cast<double>(p[i]); });
  sums.difference = sum_in_lanes(count, [&](std::int64_t i) {
    return static_cast<double>(p[i]) *
           (static_cast<double>(theirs[i]) - static_cast<double>(ours[i]));
  });
  double our_shift = log_sum_exp;
  if (d.renormalise) {
    const float largest = largest_of_row<L>(ours, count);
    our_shift = static_cast<double>(largest);
    exponentials_of<L>(ours, count, largest, q);
    sums.ours = sum_in_lanes(count, [&](std::int64_t i) { return static_cast<double>(q[i]); });
  }
  const TermShares shares =
      shares_of_term(d.renormalise, term.weight, sums, static_cast<double>(their_shift), our_shift);
  const float of_p = static_cast<float>(shares.theirs), of_q = static_cast<float>(shares.ours);
  for (std::int64_t i = 0; i < count; ++i) {
    const float change = d.renormalise ? of_p * p[i] - of_q * q[i] : of_p * p[i];
    scratch.correction[here.index(i)] += change;
  }
  return shares;
}

/// gradient = share * exponentials.
template <class L, class T>
HARNESS_INLINE void write_softmax(const float* exponentials, std::int64_t vocabulary, float share,
                                  T* gradient) {
  const typename L::F times = L::set(share);
  for_lanes(
      vocabulary,
      [&](std::int64_t j) { L::store(gradient + j, L::mul(times, L::load(exponentials + j))); },
      [&](std::int64_t j, int left) {
        L::store_part(gradient + j, left,
                      L::mul(times, L::load_part(exponentials + j, left, 0.0f)));
      });
}

/// Of one row. The places of the subsets are written once more, from float32: so they are rounded
/// once, whatever they add up to.
template <class L, class T>
HARNESS_INLINE void divergences_of_row(const T* z, const Divergences& d, std::int64_t row,
                                       T* gradient, double* values,
                                       const DivergenceScratch& scratch) {
  using F = typename L::F;
  float* exponentials = scratch.exponentials;
  LogSumExp all{};
  if (!d.renormalise)
    all = log_sum_exp_row<L>(
        z, d.vocabulary, [&](std::int64_t j, int count, F e) __attribute__((always_inline)) {
          if (count == kLanes)
            L::store(exponentials + j, e);
          else
            L::store_part(exponentials + j, count, e);
        });
  double mass = 0;
  for (int t = 0; t < d.terms; ++t) {
    const TermShares shares = add_term<L>(z, d, d.term[t], row, all.max + log(all.sum), scratch);
    values[t] = shares.value;
    mass += shares.mass;
  }
  const float share = d.renormalise ? 0.0f : static_cast<float>(mass / all.sum);
  if (d.renormalise)
    memset(gradient, 0, static_cast<std::size_t>(d.vocabulary) * sizeof(T));
  else
    write_softmax<L>(exponentials, d.vocabulary, share, gradient);
  for (int t = 0; t < d.terms; ++t) {
    const TermOfRow<T> here(d.term[t], row);
    for (std::int64_t i = 0; i < here.count; ++i) {
      const std::int64_t j = here.index(i);
      const float softmax = d.renormalise ? 0.0f : share * exponentials[j];
      gradient[j] = cast_to<T>(softmax - scratch.correction[j]);
    }
  }
  for (int t = 0; t < d.terms; ++t) {
    const TermOfRow<T> here(d.term[t], row);
    for (std::int64_t i = 0; i < here.count; ++i) scratch.correction[here.index(i)] = 0.0f;
  }
}

template <class L, class T>
void divergences_of_rows(const T* logits, const Divergences& d, T* gradient, double* values,
                         std::int64_t begin, std::int64_t end, float* memory) {
  const DivergenceScratch scratch(d, memory);
  for (std::int64_t row = begin; row < end; ++row)
    divergences_of_row<L>(logits + row * d.vocabulary, d, row, gradient + row * d.vocabulary,
                          values + row * d.terms, scratch);
}

template <class L>
void divergences(DType dtype, const void* logits, const Divergences& d, void* gradient,
                 double* values, std::int64_t begin, std::int64_t end, float* memory) {
  with_type(dtype, [&]<class T>(T) {
    if constexpr (sizeof(T) <= sizeof(float))
      divergences_of_rows<L>(static_cast<const T*>(logits), d, static_cast<T*>(gradient), values,
                             begin, end, memory);
  });
}

}  // namespace
}  // namespace harness::kernels
