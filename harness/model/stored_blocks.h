#pragma once

#include <cstdint>
#include <future>
#include <optional>
#include <vector>

#include "harness/core/temporary_file.h"
#include "harness/model/weight_loader.h"

namespace harness {

/// The blocks of a model that is larger than its memory, while they are not in memory: where nobody
/// has changed them, they are the checkpoint's; a changed one is in a temporary file in the cache
/// folder (which the system holds in memory as long as there is some to spare).
class StoredBlocks {
 public:
  StoredBlocks(const WeightLoader& loader, std::size_t layers) : loader_(loader), kept_(layers) {}

  /// The block's weights, in memory of their own on the model's device; no steps.
  LlamaBlock fetch(std::size_t layer) const;
  /// Begins to fetch a block beside what the caller goes on with: on another thread, and on a
  /// device in a stream of its own. If the next fetch() is of that block, it takes what comes.
  void prefetch(std::size_t layer) const;
  /// From here on these are its weights.
  /// @throws Error where the disk has no room
  void keep(std::size_t layer, LlamaBlock& block);

 private:
  /// A tensor in the file, as it lies in a LlamaBlock.
  struct Place {
    std::uint64_t offset;
    std::vector<std::int64_t> shape;
    at::ScalarType dtype;
  };
  /// One for each tensor a block may have; none where it has none.
  using Places = std::vector<std::optional<Place>>;

  LlamaBlock read(std::size_t layer) const;

  WeightLoader loader_;
  std::vector<Places> kept_;  // by layer; empty: not changed
  std::optional<TemporaryFile> file_;
  std::uint64_t end_ = 0;  // of the file
  mutable std::size_t next_layer_ = 0;
  mutable std::future<LlamaBlock> next_;  // the last member: whatever reads the others ends first
};

}  // namespace harness
