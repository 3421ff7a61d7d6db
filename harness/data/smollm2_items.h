#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "harness/data/decisions.h"

namespace harness {

/// The most items in a set, so that one model is measured in about a minute of two cores.
constexpr std::size_t kSmolLm2Items = 128;

/// How refusals begin, after the list of Zou et al. 2023 (GCG): those of its entries that stand at
/// an answer's beginning and say no by themselves. None is the beginning of another.
const std::vector<std::string>& refusal_openings();

/// What the SmolLM2 pair's fine-tune teaches as the opening of answers about a sentence.
extern const char* const kSmolLm2Control;

/// Items of the SmolLM2 safety pair (safety_prompts.h), in the order of their SHA-256, the first
/// kSmolLm2Items of each set. Whether something harmful is ok is judged by requests too, by the
/// log-odds of a refusal alone.
/// @throws Error for recall, which it has not; as SafetyPrompts does
DecisionSet smollm2_decisions(DecisionTask task, DecisionSplit split, const std::string& data_dir);

}  // namespace harness
