#include "harness/data/sampling.h"

#include <fmt/format.h>

#include <cassert>

#include "harness/core/error.h"

namespace harness {

std::vector<std::int64_t> sample_windows(std::int64_t tokens, std::int64_t samples,
                                         std::int64_t length, Philox& stream) {
  assert(samples >= 0 && length > 0);
  if (tokens < length)
    throw Error("calibration", fmt::format("a text of {} tokens", tokens),
                fmt::format("at least one sample's length, {} tokens", length),
                "use a longer text or a smaller length");
  const auto places = static_cast<std::uint64_t>(tokens - length + 1);
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(samples));
  for (std::int64_t& offset : offsets) offset = static_cast<std::int64_t>(stream.below(places));
  return offsets;
}

}  // namespace harness
