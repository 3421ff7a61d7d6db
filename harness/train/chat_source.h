#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "harness/model/chat.h"
#include "harness/model/tokenizer.h"
#include "harness/train/trainer.h"

namespace harness {

/// Reads JSON lines, each {"messages": [{"role", "content"}, ...]} or {"prompt", "response"}; other
/// keys are let be, empty lines skipped. A conversation has an answer of the assistant.
/// @throws Error with file, line and field: no JSON, a field that is missing or no text, an unknown
/// role, no answer; a file without examples
std::vector<std::vector<ChatMessage>> read_chat_lines(const std::filesystem::path& path);
std::vector<std::vector<ChatMessage>> parse_chat_lines(const std::string& text,
                                                       const std::string& where);

/// A conversation as token ids, and what each position predicts: the answers' tokens, -100 else.
struct ChatExample {
  std::vector<std::int64_t> tokens, targets;  // of one length
};

struct ChatLengths {
  std::int64_t prompt = 0;  // most tokens of what stands before an answer; 0: any
  std::int64_t answer = 0;  // most tokens of an answer; 0: any
};

/// Tokenises a conversation up to its last answer. The loss is on each answer and on the token that
/// ends its turn; the text before an answer is tokenised by itself, as it is when the model is
/// asked. A prompt that is too long loses the end of its last message, so that the template stays
/// whole; an answer that is too long is cut, and the conversation ends there.
/// @param where for messages
/// @throws Error when the format refuses the conversation, or the template alone is too long
ChatExample tokenize_chat(const std::vector<ChatMessage>& messages, const ChatFormat& format,
                          const Tokenizer& tokenizer, const ChatLengths& lengths,
                          const std::string& where);

/// Batches of chat examples: every epoch in a new order, padded on the right (with causal attention
/// no position sees the padding, which has no loss).
class ChatSource : public ExampleSource {
 public:
  ChatSource(std::vector<ChatExample> examples, std::int64_t sequences, std::uint64_t seed);
  TrainBatch batch(std::int64_t index) const override;
  std::string canonical() const override;

 private:
  /// The order of an epoch: a permutation of the examples.
  const std::vector<std::size_t>& order(std::int64_t epoch) const;

  std::vector<ChatExample> examples_;
  std::int64_t sequences_;
  std::uint64_t seed_;
  std::string digest_;
  mutable std::int64_t epoch_ = -1;  // that order_ is of: drawn again where another is asked for
  mutable std::vector<std::size_t> order_;
};

/// The rows of several sources in each batch, padded on the right to the longest.
class MixedSource : public ExampleSource {
 public:
  explicit MixedSource(std::vector<std::shared_ptr<const ExampleSource>> sources);
  TrainBatch batch(std::int64_t index) const override;
  std::string canonical() const override;

 private:
  std::vector<std::shared_ptr<const ExampleSource>> sources_;
};

}  // namespace harness
