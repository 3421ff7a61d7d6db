#include "harness/train/world_source.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "harness/core/hash.h"
#include "harness/core/text.h"

namespace harness {

WorldSource::WorldSource(WorldRole role, double dialogue_share, std::int64_t sequences,
                         std::int64_t length, std::uint64_t seed)
    : role_(role),
      dialogue_share_(dialogue_share),
      sequences_(sequences),
      length_(length),
      seed_(seed) {
  // The first batch stands for the grammar: where that changes, this does.
  const at::Tensor first = batch(0).tokens;
  canonical_ = fmt::format(
      "world {} documents, {} dialogues, {} x {} tokens, seed {}, first {}", role_name(),
      shortest(dialogue_share_), sequences_, length_, seed_,
      sha256(std::string_view(static_cast<const char*>(first.const_data_ptr()), first.nbytes())));
}

TrainBatch WorldSource::batch(std::int64_t index) const {
  const std::vector<std::int64_t> ids =
      world_stream(Philox(seed_, "world pair", role_name(), static_cast<std::uint64_t>(index)),
                   role_, dialogue_share_, static_cast<std::size_t>(sequences_ * length_ + 1));
  const at::Tensor all = at::tensor(ids, at::kLong);
  return {all.slice(0, 0, -1).reshape({sequences_, length_}),
          all.slice(0, 1).reshape({sequences_, length_})};
}

}  // namespace harness
