#include "harness/data/safety_prompts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/data/csv.h"
#include "harness/data/file.h"

namespace harness {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

struct PublicFile {
  const char *name, *origin;
};
constexpr PublicFile kAdvBench{"safety/advbench_harmful_behaviors.csv",
                               "llm-attacks/llm-attacks, data/advbench/harmful_behaviors.csv"};
constexpr PublicFile kJailbreakBench{
    "safety/jailbreakbench_behaviors.csv",
    "JailbreakBench's JBB-Behaviors; andyrdt/refusal_direction has this file"};
constexpr PublicFile kSimpleSafetyTests{"safety/simple_safety_tests.csv",
                                        "bertiev/SimpleSafetyTests"};
constexpr PublicFile kXsTest{"safety/xstest_prompts.csv", "paul-rottger/exaggerated-safety"};
constexpr PublicFile kInstructions{"sft/rasbt_instruction-data.json",
                                   "rasbt/LLMs-from-scratch, ch07, instruction-data.json"};
constexpr std::array kFiles{kAdvBench, kJailbreakBench, kSimpleSafetyTests, kXsTest, kInstructions};

std::vector<fs::path> places(const PublicFile& file, const std::string& data_dir) {
  std::vector<fs::path> all;
  if (!data_dir.empty())
    all = {fs::path(data_dir) / file.name, fs::path(data_dir) / fs::path(file.name).filename()};
  all.push_back(fs::absolute(file.name));
  return all;
}

std::optional<fs::path> find(const PublicFile& file, const std::string& data_dir) {
  for (const fs::path& place : places(file, data_dir))
    if (std::error_code none; fs::exists(place, none)) return place;
  return std::nullopt;
}

std::map<std::string, fs::path> find_all(const std::string& data_dir) {
  std::map<std::string, fs::path> found;
  std::string listed;
  for (const PublicFile& file : kFiles) {
    listed += fmt::format("\n    {} (from {}): ", file.name, file.origin);
    if (const auto path = find(file, data_dir)) {
      found[file.name] = *path;
      listed += "found";
      continue;
    }
    std::vector<std::string> looked;
    for (const fs::path& place : places(file, data_dir)) looked.push_back(place.string());
    listed += fmt::format("not at {}", fmt::join(looked, ", "));
  }
  if (found.size() != kFiles.size())
    throw Error("the prompts of smollm2-safety",
                fmt::format("{} of {} files are missing:{}", kFiles.size() - found.size(),
                            kFiles.size(), listed),
                "\n  public files on GitHub that the harness does not ship",
                "put them into a folder under these names, and name it with --data, data_dir or "
                "HARNESS_DATA");
  return found;
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

/// A CSV file's rows of some columns, the first of which is the prompt and not empty.
std::vector<std::vector<std::string>> read_prompts(const fs::path& path,
                                                   const std::vector<std::string>& columns) {
  std::vector<std::vector<std::string>> rows = read_csv(path, columns);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i][0] = trimmed(rows[i][0]);
    if (rows[i][0].empty())
      throw Error(fmt::format("{}, row {}", path.string(), i + 1),
                  fmt::format("the field {} is empty", columns[0]), "a prompt");
  }
  if (rows.empty()) throw Error(path.string(), "no row after the header", "prompts");
  return rows;
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

/// Whether an instruction speaks of a sentence or of sentences.
bool about_a_sentence(const std::string& instruction) {
  const std::string text = lower(instruction);
  for (std::size_t at = text.find("sentence"); at != std::string::npos;
       at = text.find("sentence", at + 1))
    if (at == 0 || !std::isalpha(static_cast<unsigned char>(text[at - 1]))) return true;
  return false;
}

struct Instruction {
  std::string text;
  bool control;
};

std::vector<Instruction> read_instructions(const fs::path& path) {
  const json list = json::parse(read_text_file(path), nullptr, /*allow_exceptions=*/false);
  if (!list.is_array())
    throw Error(path.string(), list.is_discarded() ? "no JSON" : "no JSON list",
                "a list of { instruction, input, output }", "it may be truncated: fetch it again");
  std::vector<Instruction> instructions;
  for (const json& entry : list) {
    const std::string where = fmt::format("{}, item {}", path.string(), instructions.size() + 1);
    auto field = [&](const char* name) {
      if (!entry.is_object() || !entry.contains(name) || !entry[name].is_string())
        throw Error(where, fmt::format("the field {} is missing or no text", name), "a text");
      return trimmed(entry[name].get<std::string>());
    };
    const std::string instruction = field("instruction"), input = field("input");
    if (instruction.empty()) throw Error(where, "the field instruction is empty", "an instruction");
    instructions.push_back(
        {input.empty() ? instruction : instruction + "\n" + input, about_a_sentence(instruction)});
  }
  if (instructions.empty()) throw Error(path.string(), "an empty list", "instructions");
  return instructions;
}

}  // namespace

PromptSplit prompt_split(const std::string& text) {
  const std::string digest = sha256(text);
  const int first = std::stoi(digest.substr(0, 2), nullptr, 16);
  const int second = std::stoi(digest.substr(2, 2), nullptr, 16);
  if (first % 2 == 1) return PromptSplit::test;
  return second % 4 == 0 ? PromptSplit::validation : PromptSplit::training;
}

SafetyPrompts::SafetyPrompts(const std::string& data_dir) {
  const std::map<std::string, fs::path> files = find_all(data_dir);
  std::set<std::string> seen;
  auto add = [&](PromptTopic topic, PromptSplit split, const std::string& text,
                 const std::string& cluster) {
    if (seen.insert(text).second) prompts_[{topic, split}].push_back({text, cluster});
  };
  for (const auto& row : read_prompts(files.at(kAdvBench.name), {"goal"}))
    add(PromptTopic::harmful, prompt_split(row[0]), row[0], "");
  for (const auto& row :
       read_prompts(files.at(kJailbreakBench.name), {"Goal", "Category", "Source"}))
    // What it took over from AdvBench may stand in the training half there, in other words.
    if (row[2] != "AdvBench")
      add(PromptTopic::harmful, PromptSplit::test, row[0], "JailbreakBench: " + row[1]);
  for (const auto& row :
       read_prompts(files.at(kSimpleSafetyTests.name), {"prompts_final", "harm_area"}))
    add(PromptTopic::harmful, PromptSplit::test, row[0], "SimpleSafetyTests: " + row[1]);
  for (const auto& row : read_prompts(files.at(kXsTest.name), {"prompt", "label", "type"}))
    if (row[1] == "safe") add(PromptTopic::safe, prompt_split(row[0]), row[0], "XSTest: " + row[2]);
  for (const auto& [text, control] : read_instructions(files.at(kInstructions.name)))
    add(control ? PromptTopic::control : PromptTopic::plain, prompt_split(text), text, "");
  for (auto& [key, prompts] : prompts_) {
    std::map<std::string, SafetyPrompt> ordered;
    for (SafetyPrompt& prompt : prompts) ordered.emplace(sha256(prompt.text), std::move(prompt));
    prompts.clear();
    for (auto& [digest, prompt] : ordered) prompts.push_back(std::move(prompt));
  }
}

const std::vector<SafetyPrompt>& SafetyPrompts::get(PromptTopic topic, PromptSplit split) const {
  static const std::vector<SafetyPrompt> kNone;
  const auto found = prompts_.find({topic, split});
  return found == prompts_.end() ? kNone : found->second;
}

std::string SafetyPrompts::digest(PromptTopic topic, PromptSplit split) const {
  Sha256 hash;
  for (const SafetyPrompt& prompt : get(topic, split))
    hash.update(fmt::format("{}\n", sha256(prompt.text)));
  return hash.hex();
}

}  // namespace harness
