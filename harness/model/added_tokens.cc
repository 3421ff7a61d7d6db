#include "harness/model/added_tokens.h"

#include <algorithm>

#include "harness/model/unicode.h"

namespace harness {
namespace {

bool is_word(std::string_view character) {
  // Of the Rust crate regex, whose \w has no Oniguruma exceptions.
  static const Regex kWord(R"([\w])");
  return !kWord.find_all(character).empty();
}

/// Start of the character that ends at `end`.
std::size_t character_before(std::string_view text, std::size_t end) {
  std::size_t start = end - 1;
  while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
  return start;
}

bool word_before(std::string_view text, std::size_t at) {
  if (at == 0) return false;
  std::size_t start = character_before(text, at);
  return is_word(text.substr(start, at - start));
}

bool word_after(std::string_view text, std::size_t at) {
  return at < text.size() && is_word(text.substr(at, utf8_length(text[at])));
}

bool space_at(std::string_view text, std::size_t at) { return is_space(next_code_point(text, at)); }

}  // namespace

void AddedTokens::Matcher::add(const std::string& pattern, const AddedToken* token) {
  if (pattern.empty()) return;
  auto& list = by_first_byte[static_cast<unsigned char>(pattern.front())];
  auto shorter = std::find_if(list.begin(), list.end(), [&](const auto& other) {
    return other.first.size() < pattern.size();
  });
  list.insert(shorter, {pattern, token});
  empty = false;
}

const std::pair<std::string, const AddedToken*>* AddedTokens::Matcher::match(std::string_view text,
                                                                             std::size_t at) const {
  for (const auto& entry : by_first_byte[static_cast<unsigned char>(text[at])]) {
    if (text.compare(at, entry.first.size(), entry.first) == 0) return &entry;
  }
  return nullptr;
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizer* normalizer)
    : tokens_(std::move(tokens)) {
  for (const AddedToken& token : tokens_) {
    by_content_[token.content] = &token;
    std::string searched = token.content;
    if (token.normalized && normalizer) searched = normalizer->apply(searched);
    (token.normalized ? normalized_ : plain_).add(searched, &token);
    by_id_[token.id] = std::move(searched);
  }
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  auto found = by_content_.find(content);
  return found == by_content_.end() ? nullptr : found->second;
}

const std::string* AddedTokens::text(std::int64_t id) const {
  auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &found->second;
}

void AddedTokens::cut(const Matcher& matcher, std::string_view text,
                      std::vector<TextPart>& out) const {
  std::size_t done = 0;
  for (std::size_t at = 0; !matcher.empty && at < text.size();) {
    const auto* found = matcher.match(text, at);
    if (!found) {
      ++at;
      continue;
    }
    const AddedToken& token = *found->second;
    std::size_t begin = at, end = at + found->first.size();
    at = end;
    if (token.single_word && (word_before(text, begin) || word_after(text, end))) continue;
    if (token.lstrip) {
      while (begin > done && space_at(text, character_before(text, begin)))
        begin = character_before(text, begin);
    }
    if (token.rstrip) {
      while (end < text.size() && space_at(text, end)) end += utf8_length(text[end]);
    }
    if (begin > done) out.push_back({std::string(text.substr(done, begin - done)), std::nullopt});
    out.push_back({token.content, token.id});
    done = end;
  }
  if (done < text.size()) out.push_back({std::string(text.substr(done)), std::nullopt});
}

std::vector<TextPart> AddedTokens::split(std::string_view text,
                                         const Normalizer* normalizer) const {
  std::vector<TextPart> first, result;
  cut(plain_, text, first);
  for (TextPart& part : first) {
    if (part.id) {
      result.push_back(std::move(part));
    } else {
      cut(normalized_, normalizer ? normalizer->apply(part.text) : part.text, result);
    }
  }
  return result;
}

}  // namespace harness
