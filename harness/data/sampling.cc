#include "harness/data/sampling.h"

#include <fmt/format.h>

#include <cassert>
#include <numeric>
#include <utility>

#include "harness/core/error.h"

namespace harness {

void check_window_fits(std::int64_t tokens, std::int64_t length) {
  if (tokens < length)
    throw Error("calibration", fmt::format("a text of {} tokens", tokens),
                fmt::format("at least one sample's length, {} tokens", length),
                "use a longer text or a smaller length");
}

std::vector<std::int64_t> sample_windows(std::int64_t tokens, std::int64_t samples,
                                         std::int64_t length, Philox& stream) {
  assert(samples >= 0 && length > 0);
  check_window_fits(tokens, length);
  const auto places = static_cast<std::uint64_t>(tokens - length + 1);
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(samples));
  for (std::int64_t& offset : offsets) offset = static_cast<std::int64_t>(stream.below(places));
  return offsets;
}

std::vector<std::size_t> permutation(std::size_t count, Philox stream) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t i = count; i > 1; --i)
    std::swap(order[i - 1], order[static_cast<std::size_t>(stream.below(i))]);
  return order;
}

}  // namespace harness
