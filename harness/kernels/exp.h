#pragma once

#include <cmath>

#include "harness/kernels/float_types.h"

namespace harness::kernels {

/// The library's, for kernels that take one value after the other.
HARNESS_INLINE float exponential(float x) { return expf(x); }
HARNESS_INLINE double exponential(double x) { return exp(x); }

// In an unnamed namespace for the reason given in float_types.h.
namespace {

/// exp(d) for d <= 0 in 16 lanes of float32 (L: portable, AVX2 or AVX-512), zero below -86 (4e-38,
/// nothing beside the 1 of the largest value); within 2 ulp. Cody-Waite reduction by ln 2 and the
/// polynomial of Cephes' expf.
template <class L>
HARNESS_INLINE typename L::F exp_nonpositive(typename L::F d) {
  using F = typename L::F;
  const F n = L::round(L::mul(d, L::set(1.44269504088896341f)));
  F r = L::sub(d, L::mul(n, L::set(0.693359375f)));
  r = L::sub(r, L::mul(n, L::set(-2.12194440e-4f)));
  F p = L::set(1.9875691500e-4f);
  p = L::add(L::mul(p, r), L::set(1.3981999507e-3f));
  p = L::add(L::mul(p, r), L::set(8.3334519073e-3f));
  p = L::add(L::mul(p, r), L::set(4.1665795894e-2f));
  p = L::add(L::mul(p, r), L::set(1.6666665459e-1f));
  p = L::add(L::mul(p, r), L::set(5.0000001201e-1f));
  p = L::add(L::add(L::mul(p, L::mul(r, r)), r), L::set(1.0f));
  return L::zero_below(L::scale_by_power_of_two(p, n), d, -86.0f);
}

}  // namespace
}  // namespace harness::kernels
