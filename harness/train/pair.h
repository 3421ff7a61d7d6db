#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/log.h"
#include "harness/core/model_reference.h"
#include "harness/model/chat.h"
#include "harness/train/recipe.h"

// Pairs of models that the harness trains itself: a base and, fine-tuned from it, an aligned model.
// They are made on first use and kept in the cache under the digest of their recipe.

namespace harness {

/// The base of a pair that is fine-tuned from an existing checkpoint.
struct PairBase {
  std::string reference;       // as open_checkpoint takes it
  ChatTemplate chat_template;  // in place of the checkpoint's own, so that both roles talk alike
};

/// One pair of one seed. What it will be is known before it is trained.
class Pair {
 public:
  /// @param recipe  its last phase makes the aligned model; the base is a phase of it, or
  /// @param base    the checkpoint that the last phase starts from
  Pair(std::string name, TrainRecipe recipe, std::optional<PairBase> base = {});

  const std::string& name() const { return name_; }
  /// Both roles have one shape.
  const LlamaConfig& config() const;
  /// One text for everything that determines the weights: recipe, seed, data, version of the code.
  const std::string& canonical() const { return canonical_; }
  /// SHA-256 of canonical().
  const std::string& digest() const { return digest_; }
  /// The base, where it is no phase of the recipe.
  const std::optional<PairBase>& base() const { return base_; }
  /// The folder of a checkpoint that the recipe makes, whether or not it is there yet.
  std::filesystem::path folder(const std::string& role) const { return home_ / role; }
  /// Whether a role's model is made by the recipe.
  bool trains(const std::string& role) const { return !base_ || role != "base"; }
  /// What open_checkpoint takes for a role's model: its folder, or the base's checkpoint.
  std::string reference(const std::string& role) const;
  /// Whether every phase is in the cache.
  bool ready() const;
  const TrainRecipe& recipe() const { return recipe_; }
  /// The folder of the phases' folders.
  const std::filesystem::path& home() const { return home_; }
  /// Calls `body` while no other process trains this pair; waits for one that does.
  /// @throws Error when the cache cannot be written
  void locked(const std::function<void()>& body) const;
  /// Trains what is not in the cache, going on where a killed training stopped.
  /// @throws as train_recipe and locked: where a criterion is not met, the cache holds no model of
  /// that phase
  void make(Progress& progress) const;

 private:
  std::string name_;
  TrainRecipe recipe_;
  std::optional<PairBase> base_;
  std::string canonical_, digest_;
  std::filesystem::path home_;
};

const std::vector<std::string>& pair_names();

/// @param data_dir where a pair's data files are looked for
/// @throws Error on an unknown name (names the near ones), or data files that are missing
std::shared_ptr<const Pair> open_pair(const PairReference& reference, const std::string& data_dir);

/// What open_checkpoint and open_tokenizer take for a model as people name it: the reference
/// itself, or the folder of a pair's model, which is trained first if it has to be.
std::string local_model(const std::string& reference, const std::string& data_dir,
                        Progress& progress);

/// The chat template by which that model is talked to, once it is there: its checkpoint's, or the
/// one that its pair has for it.
std::optional<ChatTemplate> local_chat_template(const std::string& reference,
                                                const std::string& data_dir);

}  // namespace harness
