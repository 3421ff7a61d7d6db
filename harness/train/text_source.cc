#include "harness/train/text_source.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "harness/core/hash.h"
#include "harness/core/rng.h"
#include "harness/data/sampling.h"

namespace harness {

TextSource::TextSource(std::vector<std::int64_t> tokens, std::int64_t sequences,
                       std::int64_t length, std::uint64_t seed)
    : tokens_(std::move(tokens)), sequences_(sequences), length_(length), seed_(seed) {
  const auto available = static_cast<std::int64_t>(tokens_.size());
  if (available <= length)
    throw Error("the training text", fmt::format("{} tokens", available),
                fmt::format("more than length = {}", length), "use a longer text or less length");
  digest_ = Sha256().update(tokens_.data(), tokens_.size() * sizeof(std::int64_t)).hex();
}

TrainBatch TextSource::batch(std::int64_t index) const {
  Philox stream(seed_, "train", "windows", static_cast<std::uint64_t>(index));
  const std::vector<std::int64_t> offsets =
      sample_windows(static_cast<std::int64_t>(tokens_.size()), sequences_, length_ + 1, stream);
  TrainBatch batch{at::empty({sequences_, length_}, at::kLong),
                   at::empty({sequences_, length_}, at::kLong)};
  auto* tokens = batch.tokens.mutable_data_ptr<std::int64_t>();
  auto* targets = batch.targets.mutable_data_ptr<std::int64_t>();
  for (std::int64_t offset : offsets) {
    tokens = std::copy_n(tokens_.begin() + offset, length_, tokens);
    targets = std::copy_n(tokens_.begin() + offset + 1, length_, targets);
  }
  return batch;
}

std::string TextSource::canonical() const {
  return fmt::format("text {}, {} x {}, seed {}", digest_, sequences_, length_, seed_);
}

}  // namespace harness
