#pragma once

#include <cstddef>

#include "harness/data/decisions.h"

namespace harness {

/// The most items in a set: about 64 an action or food, with some 24 of them.
constexpr std::size_t kWorldItems = 1536;

/// Items of the world (world.h). Questions and requests: all pairs of the split in all phrasings,
/// in one seeded order, the first kWorldItems of it. Recall: each of the 152 facts ten times, after
/// none to two other facts, among three wrong answers of its kind; the validation items differ from
/// the test's in what precedes and in the wrong answers.
DecisionSet world_decisions(DecisionTask task, DecisionSplit split);

}  // namespace harness
