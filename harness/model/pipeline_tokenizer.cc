#include "harness/model/pipeline_tokenizer.h"

#include <algorithm>

#include "harness/model/unicode.h"

namespace harness {

PipelineTokenizer::PipelineTokenizer(TokenizerParts parts)
    : parts_(std::move(parts)), added_(parts_.added_tokens, parts_.normalizer.get()) {
  vocabulary_size_ = static_cast<std::int64_t>(parts_.model->size());
  for (const AddedToken& token : added_.all()) {
    if (!parts_.model->find(token.content)) ++vocabulary_size_;
    if (token.special) special_.insert(token.id);
  }
}

std::vector<std::int64_t> PipelineTokenizer::encode(std::string_view text, bool special) const {
  std::vector<std::int64_t> ids;
  if (special) ids = parts_.prefix;
  bool at_start = true;
  for (TextPart& part : added_.split(repair_utf8(text), parts_.normalizer.get())) {
    if (part.id) {
      ids.push_back(*part.id);
    } else {
      Words words{{std::move(part.text)}, at_start};
      if (parts_.pre_tokenizer) parts_.pre_tokenizer->apply(words);
      for (const std::string& piece : words.pieces) parts_.model->encode(piece, ids);
    }
    at_start = false;
  }
  if (special) ids.insert(ids.end(), parts_.suffix.begin(), parts_.suffix.end());
  return ids;
}

std::string PipelineTokenizer::decode(const std::vector<std::int64_t>& ids) const {
  return decode(ids, /*at_start=*/true);
}

std::string PipelineTokenizer::decode_after(const std::vector<std::int64_t>& before,
                                            const std::vector<std::int64_t>& ids) const {
  const bool at_start = std::all_of(before.begin(), before.end(),
                                    [&](std::int64_t id) { return special_.count(id) > 0; });
  return decode(ids, at_start);
}

std::string PipelineTokenizer::decode(const std::vector<std::int64_t>& ids, bool at_start) const {
  std::vector<std::string> tokens;
  for (std::int64_t id : ids)
    if (const std::string* text = token(id)) tokens.push_back(*text);
  if (parts_.decoder && !tokens.empty()) parts_.decoder->apply(tokens, at_start);
  std::string text;
  for (const std::string& token : tokens) {
    if (!parts_.decoder && &token != &tokens.front()) text += ' ';
    text += token;
  }
  return text;
}

bool PipelineTokenizer::adds_bos() const {
  return parts_.bos && !parts_.prefix.empty() && parts_.prefix.front() == *parts_.bos;
}

std::optional<std::int64_t> PipelineTokenizer::token_to_id(std::string_view token) const {
  if (const AddedToken* added = added_.find(token)) return added->id;
  return parts_.model->find(token);
}

const std::string* PipelineTokenizer::token(std::int64_t id) const {
  if (const std::string* added = added_.text(id)) return added;
  return parts_.model->token(id);
}

}  // namespace harness
