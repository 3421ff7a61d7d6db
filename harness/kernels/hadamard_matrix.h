#pragma once

#include <cstdint>
#include <vector>

namespace harness {

/// How the normalised H_n is put together: `blocks` times H_m (x) H_power on the diagonal, with
/// n = blocks * m * power. H_power is Sylvester's, H_m Paley's.
struct HadamardOrder {
  std::int64_t blocks = 1, m = 1, power = 1;
  /// False where no Hadamard matrix of order n is known here: H_n is then block-diagonal.
  bool whole() const { return blocks == 1; }
};

/// The smallest m = 4 t (or 1, 2) with n = m 2^j that has a matrix by Paley's constructions; where
/// there is none, blocks of the largest power of two that divides n (methods.md section 5).
/// @param n at least 1
HadamardOrder hadamard_order(std::int64_t n);

/// H_m as +1 and -1, rows one after the other: Paley I for m = q + 1 with a prime power q = 3 mod
/// 4, else Paley II for m = 2 (q + 1) with q = 1 mod 4; [1] and Sylvester's for 1 and 2. Empty
/// where there is none. (R. E. A. C. Paley, On orthogonal matrices, 1933.)
std::vector<std::int8_t> paley_matrix(std::int64_t m);

}  // namespace harness
