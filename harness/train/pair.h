#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "harness/core/log.h"
#include "harness/core/model_reference.h"
#include "harness/model/config.h"
#include "harness/train/trainer.h"

// Pairs of models that the harness trains itself: a base and, fine-tuned from it, an aligned model.
// They are made on first use and kept in the cache under the digest of their recipe.

namespace harness {

/// How a pair came to be; kept beside its models.
struct PairRecord {
  std::vector<std::pair<std::string, double>> metrics;  // "base/steps", "aligned/refusal" ...
  std::vector<CurveValue> curve;                        // series "base/loss", "aligned/loss" ...
};

struct PairHooks {
  std::function<void(const CurveValue&)> curve = [](const CurveValue&) {};
  Progress* progress = nullptr;
};

/// One pair of one seed: what it will be is known before it is trained.
class Pair {
 public:
  virtual ~Pair() = default;

  const std::string& name() const { return name_; }
  /// Of the models' names: both roles have the same shapes.
  const LlamaConfig& config() const { return config_; }
  /// One text for everything that determines the weights: recipe, seed, data, version of the code.
  const std::string& canonical() const { return canonical_; }
  /// SHA-256 of canonical().
  const std::string& digest() const { return digest_; }
  /// The folder of a role's checkpoint, whether or not it is there yet.
  std::filesystem::path folder(const std::string& role) const;
  /// Whether both models are in the cache.
  bool ready() const;
  /// Trains the pair, going on where a killed training stopped, unless it is in the cache; where
  /// another process is training it, waits for that one. Either way the curve is told to the hooks.
  /// A training that fails leaves nothing that could be taken for a pair.
  /// @throws Error when the cache cannot be written, when the training diverges, or when a
  /// criterion is not met
  PairRecord make(const PairHooks& hooks) const;

 protected:
  Pair(std::string name, std::uint64_t seed, LlamaConfig config, std::string canonical);
  /// Trains into `folder`, which holds what an interrupted training left: a checkpoint folder a
  /// role.
  virtual PairRecord train(const std::filesystem::path& folder, const PairHooks& hooks) const = 0;
  std::uint64_t seed() const { return seed_; }

 private:
  std::filesystem::path home() const;
  PairRecord train_or_discard(const std::filesystem::path& folder, const PairHooks& hooks) const;

  std::string name_;
  std::uint64_t seed_;
  LlamaConfig config_;
  std::string canonical_, digest_;
};

const std::vector<std::string>& pair_names();

/// @param data_dir where a pair's data files are looked for
/// @throws Error on an unknown name (names the near ones), or data files that are missing
std::shared_ptr<const Pair> open_pair(const PairReference& reference, const std::string& data_dir);

}  // namespace harness
