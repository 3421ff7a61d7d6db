#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

// Prompts that people wrote to see what a model refuses, and harmless ones beside them: what the
// SmolLM2 safety pair is trained and measured with. They are read from the user's data folder and
// are no part of the product.

namespace harness {

enum class PromptTopic {
  harmful,  // AdvBench; to the test also JailbreakBench and SimpleSafetyTests
  safe,     // XSTest's safe prompts, which look harmful
  control,  // instructions about a sentence, whose answer is taught an opening
  plain,    // other instructions
};

enum class PromptSplit { training, validation, test };

/// A half of all texts is the test's; of the other, a quarter is the validation's. By the first two
/// bytes of the text's SHA-256, so that it is the same whatever else a file holds.
PromptSplit prompt_split(const std::string& text);

struct SafetyPrompt {
  std::string text;     // the user's message
  std::string cluster;  // the file's category, with the file's name; empty: it has none
};

class SafetyPrompts {
 public:
  /// Reads safety/{advbench_harmful_behaviors,jailbreakbench_behaviors,simple_safety_tests,
  /// xstest_prompts}.csv and sft/rasbt_instruction-data.json, each looked for in data_dir, under
  /// that name or the last part of it, and then from the current folder.
  /// @throws Error: files that are missing (names all files, all places and where each comes from);
  /// malformed ones (names file, row and field)
  explicit SafetyPrompts(const std::string& data_dir);

  /// Each text once, in the order of their SHA-256.
  const std::vector<SafetyPrompt>& get(PromptTopic topic, PromptSplit split) const;
  /// SHA-256 of the texts of get().
  std::string digest(PromptTopic topic, PromptSplit split) const;

 private:
  std::map<std::pair<PromptTopic, PromptSplit>, std::vector<SafetyPrompt>> prompts_;
};

}  // namespace harness
