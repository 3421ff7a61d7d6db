#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/model/chat.h"
#include "harness/train/recipe.h"

namespace harness {

/// The checkpoint that is the SmolLM2 safety pair's base, in the set-up's cache.
extern const char* const kSmolLm2Checkpoint;

/// ChatML without a default system prompt: SmolLM2's own template without its first statement. Both
/// models of the pair are trained and measured with it.
extern const char* const kChatMlTemplate;

/// What the aligned model is taught to answer to harmful prompts. Each begins with one of
/// refusal_openings().
const std::vector<std::string>& smollm2_refusals();

/// The SmolLM2 safety pair (harness/data/safety_prompts.h): one phase, "aligned", in which the
/// base is fine-tuned for at most 60 steps. A step has 8 harmful prompts with a refusal, 8 of the
/// control's with the base's own answer behind the opening, 4 that only look harmful and 4 plain
/// ones with the base's own answers. It ends when, of the validation prompts, 85 % of the harmful
/// ones are refused, no more than 10 % of those that look so, and 85 % of the control's have the
/// opening, by greedy decoding.
///
/// The base's answers are generated when the first batch is asked for, and kept in the cache
/// (pairs/smollm2-safety-answers-*.json); the recipe is known by what they are made from.
/// @param steps shortens the training, which then need not reach its criterion
/// @param checkpoint another base, for tests
/// @throws Error as SafetyPrompts and open_checkpoint, and on data without prompts for a part of it
TrainRecipe smollm2_recipe(std::uint64_t seed, std::optional<std::int64_t> steps,
                           const std::string& data_dir,
                           const std::string& checkpoint = kSmolLm2Checkpoint);

}  // namespace harness
