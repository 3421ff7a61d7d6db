#include "harness/model/scored_bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>
#include <unordered_map>

#include "harness/core/error.h"
#include "harness/model/unicode.h"

namespace harness {
namespace {

TextMap<TokenId> vocabulary_of(const std::vector<ScoredToken>& tokens, const std::string& where) {
  TextMap<TokenId> vocabulary;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const auto [other, is_new] = vocabulary.emplace(tokens[id].text, static_cast<TokenId>(id));
    if (!is_new)
      throw Error(where,
                  fmt::format("the token \"{}\" stands twice in the vocabulary, as {} and {}",
                              tokens[id].text, other->second, id),
                  "distinct tokens", "fetch the file again");
  }
  return vocabulary;
}

}  // namespace

/// The merging of one text.
class ScoredBpe::Merging {
 public:
  Merging(const ScoredBpe& model, std::string_view text) : model_(model) {
    while (!text.empty()) {
      const std::size_t whole = model.whole_.longest(text);
      const std::size_t size = whole ? whole : std::min(utf8_length(text.front()), text.size());
      const auto index = static_cast<std::int32_t>(symbols_.size());
      symbols_.push_back({text.substr(0, size), index - 1, index + 1, whole > 0});
      text.remove_prefix(size);
    }
    symbols_.back().next = -1;
  }

  void run() {
    for (std::int32_t i = 1; i < static_cast<std::int32_t>(symbols_.size()); ++i) propose(i - 1, i);
    while (!queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      Symbol &left = at(top.left), &right = at(top.right);
      if (left.text.empty() || right.text.empty() ||
          left.text.size() + right.text.size() != top.size)
        continue;
      left.text = {left.text.data(), top.size};
      right.text = {};
      left.next = right.next;
      if (left.next >= 0) at(left.next).previous = top.left;
      propose(left.previous, top.left);
      propose(top.left, left.next);
    }
  }

  void append(std::vector<std::int64_t>& ids) const {
    bool after_unknown = false;
    for (std::int32_t i = 0; i >= 0; i = symbols_[static_cast<std::size_t>(i)].next)
      append(symbols_[static_cast<std::size_t>(i)].text, after_unknown, ids);
  }

 private:
  /// A part of the text, in a doubly linked list by index.
  struct Symbol {
    std::string_view text;  // empty: it was merged into another
    std::int32_t previous, next;
    bool whole = false;
  };

  struct Candidate {
    double score;
    std::int32_t left, right;
    std::size_t size;  // bytes of both when it was proposed
    bool operator<(const Candidate& other) const {
      return score != other.score ? score < other.score : left > other.left;
    }
  };

  Symbol& at(std::int32_t index) { return symbols_[static_cast<std::size_t>(index)]; }

  void propose(std::int32_t left, std::int32_t right) {
    if (left < 0 || right < 0 || at(left).whole || at(right).whole) return;
    const std::string_view text(at(left).text.data(), at(left).text.size() + at(right).text.size());
    const auto id = model_.find(text);
    if (!id || model_.of(*id).use == TokenUse::reserved) return;
    queue_.push({model_.of(*id).score, left, right, text.size()});
    if (model_.of(*id).use == TokenUse::unused) left_part_[text] = at(left).text.size();
  }

  void append(std::string_view text, bool& after_unknown, std::vector<std::int64_t>& ids) const {
    const auto id = model_.find(text);
    const ScoredBpeOptions& options = model_.options_;
    if (!id || id == options.unknown) {
      if (options.bytes) {
        for (const char byte : text)
          ids.push_back((*options.bytes)[static_cast<unsigned char>(byte)]);
      } else if (!after_unknown) {
        ids.push_back(*options.unknown);
      }
      after_unknown = true;
      return;
    }
    if (const auto part = left_part_.find(text); part != left_part_.end()) {
      append(text.substr(0, part->second), after_unknown, ids);
      append(text.substr(part->second), after_unknown, ids);
      return;
    }
    ids.push_back(*id);
    after_unknown = false;
  }

  const ScoredBpe& model_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate> queue_;
  // Of the unused tokens that were met: bytes of the left one of their parts.
  std::unordered_map<std::string_view, std::size_t> left_part_;
};

ScoredBpe::ScoredBpe(std::vector<ScoredToken> tokens, ScoredBpeOptions options,
                     const std::string& where)
    : TokenModel(vocabulary_of(tokens, where)),
      tokens_(std::move(tokens)),
      options_(std::move(options)) {
  if (!options_.bytes && !options_.unknown)
    throw Error(where, "neither tokens for the 256 bytes nor an unknown token",
                "one of them, for characters that the vocabulary lacks");
  for (const ScoredToken& token : tokens_) {
    if (token.use == TokenUse::whole && !token.text.empty()) whole_.add(token.text);
  }
}

void ScoredBpe::encode(std::string_view word, std::vector<std::int64_t>& ids) const {
  if (word.empty()) return;
  if (options_.whole_words) {
    if (const auto id = find(word)) {
      ids.push_back(*id);
      return;
    }
  }
  Merging merging(*this, word);
  merging.run();
  merging.append(ids);
}

}  // namespace harness
