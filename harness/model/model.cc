#include "harness/model/model.h"

#include <algorithm>
#include <map>

namespace harness {

std::vector<std::vector<std::size_t>> equal_length_batches(
    const std::vector<std::vector<std::int64_t>>& prompts) {
  std::map<std::size_t, std::vector<std::size_t>> by_length;
  for (std::size_t i = 0; i < prompts.size(); ++i) by_length[prompts[i].size()].push_back(i);
  std::vector<std::vector<std::size_t>> batches;
  for (const auto& [length, indices] : by_length) {
    const std::size_t rows =
        std::max<std::size_t>(1, kBatchTokens / std::max<std::size_t>(1, length));
    for (std::size_t begin = 0; begin < indices.size(); begin += rows)
      batches.emplace_back(indices.begin() + begin,
                           indices.begin() + std::min(begin + rows, indices.size()));
  }
  return batches;
}

}  // namespace harness
