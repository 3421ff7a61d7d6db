#include "harness/model/byte_level_tokenizer.h"

#include "harness/model/unicode.h"

namespace harness {

ByteLevelTokenizer::ByteLevelTokenizer(TokenizerParts parts)
    : parts_(std::move(parts)), added_(parts_.added_tokens, parts_.normalizer.get()) {
  vocabulary_size_ = static_cast<std::int64_t>(parts_.model->size());
  for (const AddedToken& token : added_.all()) {
    if (!parts_.model->find(token.content)) ++vocabulary_size_;
  }
}

std::vector<std::int64_t> ByteLevelTokenizer::encode(std::string_view text, bool special) const {
  std::vector<std::int64_t> ids;
  if (special) ids = parts_.prefix;
  for (TextPart& part : added_.split(repair_utf8(text), parts_.normalizer.get())) {
    if (part.id) {
      ids.push_back(*part.id);
      continue;
    }
    std::vector<std::string> pieces{std::move(part.text)};
    if (parts_.pre_tokenizer) parts_.pre_tokenizer->apply(pieces);
    for (const std::string& piece : pieces) parts_.model->encode(piece, ids);
  }
  if (special) ids.insert(ids.end(), parts_.suffix.begin(), parts_.suffix.end());
  return ids;
}

std::string ByteLevelTokenizer::decode(const std::vector<std::int64_t>& ids) const {
  std::string bytes;
  bool first = true;
  for (std::int64_t id : ids) {
    const std::string* text = token(id);
    if (!text) continue;
    if (!first && !parts_.byte_level_decoder) bytes += ' ';
    first = false;
    bytes += parts_.byte_level_decoder ? bytes_of_token(*text) : *text;
  }
  return repair_utf8(bytes);
}

bool ByteLevelTokenizer::adds_bos() const {
  return parts_.bos && !parts_.prefix.empty() && parts_.prefix.front() == *parts_.bos;
}

std::optional<std::int64_t> ByteLevelTokenizer::token_to_id(std::string_view token) const {
  if (const AddedToken* added = added_.find(token)) return added->id;
  return parts_.model->find(token);
}

const std::string* ByteLevelTokenizer::token(std::int64_t id) const {
  if (const std::string* added = added_.text(id)) return added;
  return parts_.model->token(id);
}

}  // namespace harness
