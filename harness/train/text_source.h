#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/train/trainer.h"

namespace harness {

/// Windows of a tokenised text at random places, drawn independently: every position but the last
/// predicts the token after it.
class TextSource : public ExampleSource {
 public:
  /// @param length tokens that a window predicts from; it covers one more
  /// @throws Error when the text is shorter than one window
  TextSource(std::vector<std::int64_t> tokens, std::int64_t sequences, std::int64_t length,
             std::uint64_t seed);
  TrainBatch batch(std::int64_t index) const override;
  std::string canonical() const override;

 private:
  std::vector<std::int64_t> tokens_;
  std::int64_t sequences_, length_;
  std::uint64_t seed_;
  std::string digest_;
};

}  // namespace harness
