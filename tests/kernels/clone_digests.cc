// Prints digests of what the kernels give whose vector width the compiler takes (HARNESS_CLONES).
// CMakeLists.txt builds one program of it for every width that the loader can choose, and one that
// lets the loader choose; clones.sh compares them. A program whose width the processor lacks prints
// "none".
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "harness/core/hash.h"
#include "harness/core/rng.h"
#include "harness/kernels/clones.h"
#include "harness/kernels/hadamard_cpu.h"
#include "harness/kernels/transformer_cpu.h"

namespace harness::cpu {
namespace {

/// Normal values; every 50th is scaled up as outlier channels are.
template <class T>
std::vector<T> values(std::int64_t n, const char* purpose) {
  Philox random(0, "clones", purpose);
  std::vector<T> result;
  for (std::int64_t i = 0; i < n; ++i) {
    const double x = random.normal() * (i % 50 == 0 ? 40 : 1);
    if constexpr (std::is_same_v<T, std::uint16_t>)
      result.push_back(round_to<T>(static_cast<float>(x)));
    else
      result.push_back(static_cast<T>(x));
  }
  return result;
}

template <class T>
void print(const std::string& kernel, const std::vector<T>& found) {
  Sha256 hash;
  hash.update(
      std::string_view(reinterpret_cast<const char*>(found.data()), found.size() * sizeof(T)));
  std::printf("%s, %zu bytes a value: %s\n", kernel.c_str(), sizeof(T), hash.hex().c_str());
}

// Widths that leave a tail behind every number of lanes, and the smallest.
constexpr std::int64_t kRows = 3, kWidths[] = {1, 7, 64, 576, 1543};

template <class T>
void transformer_steps() {
  for (const std::int64_t width : kWidths) {
    const std::string at = " of " + std::to_string(width);
    const std::int64_t n = kRows * width;
    const std::vector<T> x = values<T>(n, "x"), other = values<T>(n, "other");
    std::vector<T> y(n);
    rms_norm(x.data(), other.data(), y.data(), kRows, width, 1e-5f);
    print("rms_norm" + at, y);
    swiglu(x.data(), other.data(), y.data(), n);
    print("swiglu" + at, y);
    const std::vector<float> cos = values<float>(width, "cos"), sin = values<float>(width, "sin");
    const std::vector<T> heads = values<T>(2 * n, "heads");
    std::vector<T> rotated(2 * n);
    rotate(heads.data(), cos.data(), sin.data(), rotated.data(), kRows, 2 * width, width);
    print("rotate" + at, rotated);
  }
}

/// @tparam C the type of the arithmetic
template <class T, class C>
void hadamards() {
  for (const std::int64_t n : {1, 2, 12, 20, 64, 576, 1536})
    for (const std::int64_t inner : {1, 3, 16}) {
      const HadamardOrder order = hadamard_order(n);
      std::vector<C> signs, scratch(2 * n * inner);
      for (const std::int8_t sign : paley_matrix(order.m)) signs.push_back(sign);
      const std::vector<T> x = values<T>(kRows * n * inner, "hadamard");
      std::vector<T> y(x.size());
      hadamard(x.data(), y.data(), kRows, order, inner, signs.data(), C(0.125), scratch.data());
      print("hadamard of " + std::to_string(n) + " x " + std::to_string(inner), y);
    }
}

}  // namespace
}  // namespace harness::cpu

int main() {
#ifdef CLONE_LEVEL
  if (!__builtin_cpu_supports(CLONE_LEVEL)) {
    std::puts("none");
    return 0;
  }
#endif
  harness::cpu::transformer_steps<float>();
  harness::cpu::transformer_steps<std::uint16_t>();
  harness::cpu::hadamards<float, float>();
  harness::cpu::hadamards<std::uint16_t, float>();
  harness::cpu::hadamards<double, double>();
}
