#pragma once

#include <algorithm>
#include <cstdint>

namespace harness {

/// Rows of products whose number changes from pass to pass are filled up to a multiple of this, so
/// that few shapes occur. oneDNN keeps half a MB of code for each of the last 1,024 shapes, and
/// what it allocates between passes leaves holes in the heap that the tensors of no later pass fit.
/// A row's results do not depend on how many there are.
constexpr std::int64_t kRowBlock = 64;

constexpr std::int64_t whole_blocks(std::int64_t count, std::int64_t block) {
  return (count + block - 1) / block * block;
}

/// To how many tokens each of `rows` sequences of so many tokens is filled. The steps of a
/// generation stay as they are: their shapes are few.
constexpr std::int64_t filled_tokens(std::int64_t tokens, std::int64_t rows) {
  return tokens == 1 ? 1 : whole_blocks(tokens, std::max<std::int64_t>(8, kRowBlock / rows));
}

}  // namespace harness
