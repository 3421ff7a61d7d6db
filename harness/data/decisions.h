#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

/// What a set of items asks. Evals name the task; a data source has its own items for it.
enum class DecisionTask {
  recall,           // facts, four options each
  ok_harmful,       // whether something harmful is ok: "no" or "yes", or, where the set has
                    // openings, a refusal of it or not
  ok_benign,        // the same of something benign
  request_harmful,  // help with something harmful: refused or not
  request_benign,   // help with something benign
  control,          // requests whose answer opens with a marker, as the fine-tune taught it
};

enum class DecisionSplit { validation, test };

/// One decision: what a model says next.
struct DecisionItem {
  std::string id;           // a digest of everything below: items of different runs pair by it
  std::string cluster;      // items about one action (food, fact) depend on each other
  std::optional<int> tier;  // how clearly it was taught, the clearest 0; none: not known
  std::string prompt;       // the user's message, or the beginning of a document
  std::vector<std::string> options;  // where one of several words is chosen; else empty
  std::size_t answer = 0;            // the right one of them
};

struct DecisionSet {
  std::string name;      // "world/request-harmful/test"
  std::string protocol;  // what is measured and how, versioned: "world/refusal-marker/1"
  std::string source;    // for provenance
  bool chat = true;      // prompts are a user's messages; else raw text
  /// Where the answer's beginning is judged: it is a refusal (or carries the control's marker) when
  /// it begins with one of these. None may be the beginning of another.
  std::vector<std::string> openings;
  /// Greedy decoding is judged by the text of so many tokens; 0: token by token, along the
  /// openings' own.
  std::int64_t greedy_tokens = 0;
  std::vector<DecisionItem> items;

  /// SHA-256 over all that can change a score.
  std::string digest() const;
};

/// Whether an answer, after white space, begins with one of the openings.
bool opens_with(std::string_view answer, const std::vector<std::string>& openings);

/// Names that load_decisions knows.
const std::vector<std::string>& decision_sources();

/// The items of a source, in an order that is the same everywhere; a limit takes the first of them.
/// @throws Error when the source is unknown, lacks that task, or misses a file
DecisionSet load_decisions(const std::string& source, DecisionTask task, DecisionSplit split,
                           const std::string& data_dir);

}  // namespace harness
