#include "harness/model/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>

#include "harness/core/error.h"
#include "harness/model/unicode.h"

namespace harness {
namespace {

// Bounds of the word cache: a few megabytes.
constexpr std::size_t kCachedWords = 1 << 16;
constexpr std::size_t kCachedWordBytes = 256;

std::uint64_t pair_key(TokenId left, TokenId right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

/// A token of the word being merged, in a doubly linked list by index.
struct Symbol {
  TokenId id;
  std::int32_t previous, next;  // -1: none
  bool removed = false;
};

struct Candidate {
  std::uint32_t rank;
  std::int32_t position;
  TokenId result;
  bool operator>(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

}  // namespace

Bpe::Bpe(TextMap<TokenId> vocabulary,
         const std::vector<std::pair<std::string, std::string>>& merges, BpeOptions options,
         const std::string& where)
    : TokenModel(std::move(vocabulary)), options_(std::move(options)) {
  std::uint32_t rank = 0;
  merges_.reserve(merges.size());
  for (const auto& [left, right] : merges) {
    auto id_of = [&](const std::string& token) {
      auto id = find(token);
      if (!id)
        throw Error(where,
                    fmt::format("merge {} (\"{}\" and \"{}\") needs the token \"{}\"", rank, left,
                                right, token),
                    "a token of the vocabulary");
      return *id;
    };
    TokenId left_id = id_of(left), right_id = id_of(right);
    merges_[pair_key(left_id, right_id)] = {rank++, id_of(left + right)};
  }
  if (options_.byte_fallback) {
    for (unsigned byte = 0; byte < 256; ++byte)
      bytes_[byte] = find(fmt::format("<0x{:02X}>", byte));
  }
  if (options_.unk_token) {
    unk_ = find(*options_.unk_token);
    if (!unk_)
      throw Error(where, fmt::format("the model's unk_token is \"{}\"", *options_.unk_token),
                  "a token of the vocabulary");
  }
}

const Bpe::Merge* Bpe::find_merge(TokenId left, TokenId right) const {
  auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void Bpe::encode(std::string_view word, std::vector<std::int64_t>& ids) const {
  if (options_.ignore_merges) {
    if (auto id = find(word)) {
      ids.push_back(*id);
      return;
    }
  }
  {
    std::lock_guard lock(cache_mutex_);
    auto known = cache_.find(word);
    if (known != cache_.end()) {
      ids.insert(ids.end(), known->second.begin(), known->second.end());
      return;
    }
  }
  std::vector<TokenId> merged = merge_word(word);
  ids.insert(ids.end(), merged.begin(), merged.end());
  if (word.size() > kCachedWordBytes) return;
  std::lock_guard lock(cache_mutex_);
  if (cache_.size() < kCachedWords) cache_.emplace(word, std::move(merged));
}

std::vector<TokenId> Bpe::merge_word(std::string_view word) const {
  std::vector<Symbol> symbols;
  auto put = [&](TokenId id) {
    auto index = static_cast<std::int32_t>(symbols.size());
    symbols.push_back({id, index - 1, index + 1});
  };
  auto put_bytes = [&](std::string_view character) {
    auto id_of = [&](char byte) { return bytes_[static_cast<unsigned char>(byte)]; };
    if (!std::all_of(character.begin(), character.end(), id_of)) return false;
    for (char byte : character) put(*id_of(byte));
    return true;
  };
  // As in the library an unk_token is put when the next known character is, behind any bytes.
  bool unknown = false;
  auto put_unknown = [&] {
    if (unknown) put(*unk_);
    unknown = false;
  };
  for (std::size_t at = 0; at < word.size();) {
    const std::string_view character = word.substr(at, utf8_length(word[at]));
    at += character.size();
    if (const auto id = find(character)) {
      put_unknown();
      put(*id);
    } else if (!put_bytes(character) && unk_) {
      if (!options_.fuse_unk) put_unknown();
      unknown = true;
    }
  }
  put_unknown();
  if (symbols.empty()) return {};
  symbols.back().next = -1;

  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  auto propose = [&](std::int32_t left, std::int32_t right) {
    if (left < 0 || right < 0) return;
    auto at = [&](std::int32_t i) { return symbols[static_cast<std::size_t>(i)].id; };
    if (const Merge* merge = find_merge(at(left), at(right)))
      queue.push({merge->rank, left, merge->result});
  };
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
    propose(static_cast<std::int32_t>(i), static_cast<std::int32_t>(i + 1));

  while (!queue.empty()) {
    Candidate top = queue.top();
    queue.pop();
    Symbol& left = symbols[static_cast<std::size_t>(top.position)];
    if (left.removed || left.next < 0) continue;
    Symbol& right = symbols[static_cast<std::size_t>(left.next)];
    // The pair may have changed since it was proposed.
    const Merge* merge = find_merge(left.id, right.id);
    if (!merge || merge->result != top.result) continue;
    left.id = top.result;
    left.next = right.next;
    right.removed = true;
    if (right.next >= 0) symbols[static_cast<std::size_t>(right.next)].previous = top.position;
    propose(left.previous, top.position);
    propose(top.position, left.next);
  }

  std::vector<TokenId> ids;
  for (std::int32_t i = 0; i >= 0; i = symbols[static_cast<std::size_t>(i)].next)
    ids.push_back(symbols[static_cast<std::size_t>(i)].id);
  return ids;
}

}  // namespace harness
