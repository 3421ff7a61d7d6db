#include "harness/kernels/machine_rates.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "harness/core/error.h"
#include "harness/kernels/packed_linear.h"

namespace harness {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The fastest product of x and the transpose of `weight` there is for their dtype.
std::function<at::Tensor()> product(const at::Tensor& x, const at::Tensor& weight) {
  if (x.scalar_type() == at::kChar)
    return [x, columns = weight.t()] { return at::_int_mm(x, columns); };
  if (can_pack(weight))
    return [x, packed = pack_weight(weight)] { return packed_linear(x, packed, {}); };
  return [x, weight] { return at::linear(x, weight); };
}

/// A copy that does not read what it writes over, as memcpy does up to some size of its own.
/// @param bytes a multiple of 16, as are the addresses
void copy_past_caches(const std::uint8_t* from, std::uint8_t* to, std::int64_t bytes) {
  for (std::int64_t i = 0; i < bytes; i += 16)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm_load_si128(reinterpret_cast<const __m128i*>(from + i)));
  _mm_sfence();
}

}  // namespace

RateProbe copy_probe(std::int64_t bytes) {
  const at::Tensor from = at::zeros({bytes}, at::kByte), to = at::zeros({bytes}, at::kByte);
  return [from, to, bytes] {
    constexpr std::int64_t kPart = 4096;
    const auto* source = from.const_data_ptr<std::uint8_t>();
    auto* target = to.mutable_data_ptr<std::uint8_t>();
    const Clock::time_point start = Clock::now();
    at::parallel_for(0, bytes / kPart, 256, [&](std::int64_t begin, std::int64_t end) {
      copy_past_caches(source + begin * kPart, target + begin * kPart, (end - begin) * kPart);
    });
    return 2 * static_cast<double>(bytes) / seconds_since(start);
  };
}

RateProbe matrix_probe(at::ScalarType dtype, std::int64_t size) {
  if (dtype != at::kFloat && dtype != at::kBFloat16 && dtype != at::kChar)
    throw Error("matrix_probe", fmt::format("{}", c10::toString(dtype)),
                "float32, bfloat16 or int8");
  auto random = [&] { return at::randn({size, size}).mul_(16).to(dtype); };
  return [multiply = product(random(), random()), size] {
    const Clock::time_point start = Clock::now();
    multiply();
    return 2 * static_cast<double>(size * size * size) / seconds_since(start);
  };
}

double median_rate(const RateProbe& probe, double seconds) {
  constexpr std::size_t kFewest = 5;
  probe();
  std::vector<double> rates;
  const Clock::time_point start = Clock::now();
  while (rates.size() < kFewest || seconds_since(start) < seconds) rates.push_back(probe());
  const auto middle = rates.begin() + static_cast<std::ptrdiff_t>(rates.size() / 2);
  std::nth_element(rates.begin(), middle, rates.end());
  return *middle;
}

}  // namespace harness
