#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/model/tokenizer.h"

namespace harness {

struct ChatMessage {
  std::string role;  // system, user or assistant
  std::string content;
};

struct ChatRules;

/// A conversation as text, as the chat template of a family of checkpoints has it. Formats have
/// names; templates are recognised and not interpreted: Jinja is a language, and the ten that
/// matter fit on a page (chat.cc).
class ChatFormat {
 public:
  explicit ChatFormat(const ChatRules& rules);

  const std::string& name() const;
  /// The text that transformers' apply_chat_template(tokenize=False) gives.
  /// @throws Error where the template refuses the conversation: no message, another role, a system
  /// message or an order of roles that the format does not have
  std::string render(const std::vector<ChatMessage>& messages, bool add_generation_prompt) const;
  /// What the model writes at the end of its turn.
  std::vector<std::string> stop_strings() const;
  /// The same format with the tokens that this checkpoint calls BOS and EOS; those of the family's
  /// first checkpoint stand otherwise.
  ChatFormat with_tokens(const std::string& bos, const std::string& eos) const;

 private:
  const ChatRules* rules_;
  std::string bos_, eos_;
};

/// llama2, llama3, llama3.1, mistral, chatml, chatml-smollm2 (chatml with SmolLM2's default system
/// prompt), qwen2, zephyr, tulu, world; none, which a checkpoint without a template has: the
/// contents, one a line.
/// @throws Error on another name, with the list of them
const ChatFormat& chat_format(const std::string& name);
std::vector<std::string> chat_format_names();

/// The format that renders as this Jinja template does, chosen by what the template contains.
/// @param where the file, for messages
/// @throws Error that lists the names when it is none of them
const ChatFormat& detect_chat_format(std::string_view jinja, const std::string& where);

/// The template of the world pair: "<user> may i ... <bot> yes ...", one space between all parts.
/// It has no system message.
extern const char* const kWorldChatTemplate;

/// A checkpoint's own chat template.
struct ChatTemplate {
  std::string jinja;
  std::string where;  // the file it stands in
};
/// From chat_template.jinja, else chat_template of tokenizer_config.json, both beside
/// tokenizer.json; or tokenizer.chat_template of a GGUF file. `reference` as open_tokenizer takes
/// it.
std::optional<ChatTemplate> read_chat_template(const std::string& reference);

/// The format of a checkpoint with that template ("none" without one), with the tokenizer's BOS and
/// EOS.
ChatFormat open_chat_format(const std::optional<ChatTemplate>& chat_template,
                            const Tokenizer& tokenizer);

/// Ids of a conversation. BOS is there once: where the template writes it, or else where the
/// tokenizer adds it.
std::vector<std::int64_t> encode_chat(const Tokenizer& tokenizer, const ChatFormat& format,
                                      const std::vector<ChatMessage>& messages,
                                      bool add_generation_prompt);

}  // namespace harness
