#include "harness/kernels/hadamard_matrix.h"

#include <cassert>
#include <optional>

namespace harness {
namespace {

/// Coefficients mod p, the constant first.
using Polynomial = std::vector<std::int64_t>;

struct PrimePower {
  std::int64_t prime;
  std::size_t exponent;
};

std::optional<PrimePower> as_prime_power(std::int64_t q) {
  if (q < 2) return std::nullopt;
  std::int64_t prime = 2;
  while (prime * prime <= q && q % prime != 0) ++prime;
  if (q % prime != 0) return PrimePower{q, 1};
  std::size_t exponent = 0;
  for (; q % prime == 0; q /= prime) ++exponent;
  return q == 1 ? std::optional(PrimePower{prime, exponent}) : std::nullopt;
}

/// GF(p^r): its elements are 0 .. q-1, whose digits in base p are a polynomial's coefficients; they
/// are multiplied modulo an irreducible one.
class Field {
 public:
  explicit Field(PrimePower order) : p_(order.prime), r_(order.exponent), q_(1) {
    for (std::size_t i = 0; i < r_; ++i) q_ *= p_;
    modulus_ = first_irreducible();
  }

  std::int64_t size() const { return q_; }

  std::int64_t subtract(std::int64_t a, std::int64_t b) const {
    const Polynomial x = polynomial(a), y = polynomial(b);
    Polynomial difference(r_);
    for (std::size_t i = 0; i < r_; ++i) difference[i] = (x[i] + p_ - y[i]) % p_;
    return element(difference);
  }

  /// The quadratic character of each element: 0 of 0, +1 of squares, -1 of the others.
  std::vector<std::int8_t> characters() const {
    std::vector<std::int8_t> result(static_cast<std::size_t>(q_), -1);
    result[0] = 0;
    for (std::int64_t a = 1; a < q_; ++a) result[static_cast<std::size_t>(square(a))] = 1;
    return result;
  }

 private:
  Polynomial polynomial(std::int64_t element) const {
    Polynomial result(r_);
    for (std::int64_t& digit : result) {
      digit = element % p_;
      element /= p_;
    }
    return result;
  }
  std::int64_t element(const Polynomial& polynomial) const {
    std::int64_t result = 0;
    for (std::size_t i = r_; i-- > 0;) result = result * p_ + polynomial[i];
    return result;
  }

  /// What is left of `a` after division by a monic polynomial: as many digits as that has without
  /// the leading one.
  Polynomial remainder(Polynomial a, const Polynomial& monic) const {
    const std::size_t degree = monic.size() - 1;
    while (a.size() > degree) {
      const std::int64_t lead = a.back();
      const std::size_t shift = a.size() - 1 - degree;
      for (std::size_t i = 0; i < degree; ++i)
        a[shift + i] = (a[shift + i] + (p_ - lead) * monic[i]) % p_;
      a.pop_back();
    }
    return a;
  }

  std::int64_t square(std::int64_t a) const {
    const Polynomial x = polynomial(a);
    Polynomial product(2 * r_ - 1);
    for (std::size_t i = 0; i < r_; ++i)
      for (std::size_t j = 0; j < r_; ++j) product[i + j] = (product[i + j] + x[i] * x[j]) % p_;
    return element(remainder(product, modulus_));
  }

  /// The monic polynomial of that degree whose lower digits are those of `number` in base p.
  Polynomial monic(std::size_t degree, std::int64_t number) const {
    Polynomial result(degree + 1, 1);
    for (std::size_t i = 0; i < degree; ++i, number /= p_) result[i] = number % p_;
    return result;
  }

  bool irreducible(const Polynomial& candidate) const {
    std::int64_t count = p_;
    for (std::size_t degree = 1; 2 * degree <= r_; ++degree, count *= p_)
      for (std::int64_t number = 0; number < count; ++number) {
        const Polynomial rest = remainder(candidate, monic(degree, number));
        if (rest == Polynomial(rest.size(), 0)) return false;
      }
    return true;
  }

  Polynomial first_irreducible() const {
    std::int64_t number = 0;
    while (!irreducible(monic(r_, number))) ++number;  // there is one of every degree
    return monic(r_, number);
  }

  std::int64_t p_;
  std::size_t r_;
  std::int64_t q_;
  Polynomial modulus_;
};

/// The square matrix of order q + 1 with zeros on its diagonal that borders chi(a - b) by ones, of
/// `corner` below the diagonal: C C^T = q I. Symmetric (corner 1) for q = 1 mod 4, skew (corner -1)
/// for q = 3 mod 4.
std::vector<std::int8_t> conference_matrix(const Field& field, std::int8_t corner) {
  const auto order = static_cast<std::size_t>(field.size() + 1);
  const std::vector<std::int8_t> characters = field.characters();
  std::vector<std::int8_t> matrix(order * order, 1);
  matrix[0] = 0;
  for (std::size_t a = 1; a < order; ++a) {
    matrix[a * order] = corner;
    for (std::size_t b = 1; b < order; ++b)
      matrix[a * order + b] = characters[static_cast<std::size_t>(
          field.subtract(static_cast<std::int64_t>(a - 1), static_cast<std::int64_t>(b - 1)))];
  }
  return matrix;
}

/// q of a construction, where m - 1 (I) or m / 2 - 1 (II) is a prime power of the right kind.
std::optional<PrimePower> paley_one(std::int64_t m) {
  return m % 4 == 0 ? as_prime_power(m - 1) : std::nullopt;
}
std::optional<PrimePower> paley_two(std::int64_t m) {
  return m % 4 == 0 && (m / 2 - 1) % 4 == 1 ? as_prime_power(m / 2 - 1) : std::nullopt;
}

bool exists(std::int64_t m) { return m <= 2 || paley_one(m) || paley_two(m); }

}  // namespace

HadamardOrder hadamard_order(std::int64_t n) {
  assert(n >= 1);
  const std::int64_t largest_power = n & -n;
  for (std::int64_t power = largest_power; power >= 1; power /= 2)
    if (exists(n / power)) return {1, n / power, power};
  return {n / largest_power, 1, largest_power};
}

std::vector<std::int8_t> paley_matrix(std::int64_t m) {
  if (m == 1) return {1};
  if (m == 2) return {1, 1, 1, -1};
  const auto order = static_cast<std::size_t>(m);
  if (const auto q = paley_one(m)) {
    // I + C with C skew: (I + C)(I - C) = I - C C = (1 + q) I.
    std::vector<std::int8_t> matrix = conference_matrix(Field(*q), -1);
    for (std::size_t i = 0; i < order; ++i) matrix[i * order + i] = 1;
    return matrix;
  }
  if (const auto q = paley_two(m)) {
    // C (x) [1 1; 1 -1] + I (x) [1 -1; -1 -1] with C symmetric.
    const std::vector<std::int8_t> conference = conference_matrix(Field(*q), 1);
    constexpr std::int8_t kOff[2][2] = {{1, 1}, {1, -1}}, kDiagonal[2][2] = {{1, -1}, {-1, -1}};
    std::vector<std::int8_t> matrix(order * order);
    for (std::size_t i = 0; i < order; ++i)
      for (std::size_t j = 0; j < order; ++j) {
        const std::int8_t c = conference[i / 2 * (order / 2) + j / 2];
        matrix[i * order + j] = i / 2 == j / 2 ? kDiagonal[i % 2][j % 2]
                                               : static_cast<std::int8_t>(c * kOff[i % 2][j % 2]);
      }
    return matrix;
  }
  return {};
}

}  // namespace harness
