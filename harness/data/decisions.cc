#include "harness/data/decisions.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/core/text.h"
#include "harness/data/smollm2_items.h"
#include "harness/data/world_items.h"

namespace harness {

std::string DecisionSet::digest() const {
  Sha256 hash;
  hash.update(fmt::format("{}\n{}\n{}\n", protocol, chat, fmt::join(openings, "\n")));
  for (const DecisionItem& item : items)
    hash.update(fmt::format("{}\n{}\n{}\n{}\n{}\n", item.id, item.cluster, item.prompt,
                            fmt::join(item.options, "\t"), item.answer));
  return hash.hex();
}

bool opens_with(std::string_view answer, const std::vector<std::string>& openings) {
  answer.remove_prefix(std::min(answer.find_first_not_of(" \t\r\n"), answer.size()));
  return std::any_of(openings.begin(), openings.end(),
                     [&](const std::string& opening) { return answer.starts_with(opening); });
}

const std::vector<std::string>& decision_sources() {
  static const std::vector<std::string> kSources{"world", "smollm2-safety"};
  return kSources;
}

DecisionSet load_decisions(const std::string& source, DecisionTask task, DecisionSplit split,
                           const std::string& data_dir) {
  if (source == "world") return world_decisions(task, split);
  if (source == "smollm2-safety") return smollm2_decisions(task, split, data_dir);
  throw Error("data", fmt::format("no items are called \"{}\"", source),
              fmt::format("one of {}", fmt::join(decision_sources(), ", ")),
              did_you_mean(source, decision_sources()));
}

}  // namespace harness
