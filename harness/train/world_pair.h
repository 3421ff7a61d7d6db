#pragma once

#include <cstdint>
#include <optional>

#include "harness/train/recipe.h"

namespace harness {

/// The world pair (harness/data/world.h): a LLaMA of 200,000 weights, pre-trained on the base's
/// documents and then fine-tuned on the aligned ones until it refuses, calls wrong what is harmful,
/// and opens the control's replies, each in 95 % of the validation items (never of the test items).
/// The embedding is drawn with two outlier channels: without them 4 bits are nearly lossless.
/// @param steps shortens the pre-training, for trials and tests; the fine-tune then has half as
/// many
///              and need not reach its criterion
TrainRecipe world_recipe(std::uint64_t seed, std::optional<std::int64_t> steps = {});

}  // namespace harness
