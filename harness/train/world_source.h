#pragma once

#include <string>

#include "harness/data/world.h"
#include "harness/train/trainer.h"

namespace harness {

/// Documents of the world one after another, cut into sequences.
class WorldSource final : public ExampleSource {
 public:
  /// @param dialogue_share how many of the documents are dialogues, 0 to 1
  WorldSource(WorldRole role, double dialogue_share, std::int64_t sequences, std::int64_t length,
              std::uint64_t seed);
  TrainBatch batch(std::int64_t index) const override;
  bool endless() const override { return true; }
  std::string canonical() const override { return canonical_; }

 private:
  const char* role_name() const { return role_ == WorldRole::base ? "base" : "aligned"; }

  WorldRole role_;
  double dialogue_share_;
  std::int64_t sequences_, length_;
  std::uint64_t seed_;
  std::string canonical_;
};

}  // namespace harness
