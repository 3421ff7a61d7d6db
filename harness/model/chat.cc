#include "harness/model/chat.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "harness/core/error.h"
#include "harness/core/text.h"
#include "harness/model/gguf.h"
#include "harness/model/json.h"
#include "harness/model/mapped_file.h"

namespace harness {

namespace fs = std::filesystem;
using Messages = std::vector<ChatMessage>;

/// A conversation to be written, with the tokens that its checkpoint calls BOS and EOS.
struct Conversation {
  const Messages& messages;
  bool prompt;  // whether the assistant's turn is to be opened
  const std::string &bos, &eos;
};

struct ChatRules {
  std::string name;
  std::string bos{}, eos{};  // of the family's first checkpoint; empty: the template writes none
  std::string stop{};        // what ends the assistant's turn; empty: EOS, if that is written
  /// Parts that the template must and must not have, as `comparable` spells them. Templates of a
  /// family differ in white space between statements and in what they do with tools.
  std::vector<std::string> contains{}, lacks{};
  std::string (*render)(const Conversation&) = nullptr;
};

const char* const kWorldChatTemplate =
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '<user> ' + "
    "message['content'] }}{% elif message['role'] == 'assistant' %}{{ '<bot> ' + "
    "message['content'] }}{% else %}{{ raise_exception('Only user and assistant roles are "
    "supported!') }}{% endif %}{% if not loop.last %}{{ ' ' }}{% endif %}{% endfor %}{% if "
    "add_generation_prompt %}{{ ' <bot>' }}{% endif %}";

namespace {

constexpr const char* kSmolLm2System =
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
constexpr const char* kQwen2System =
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";
// Llama 3.1's template writes this date unless its caller gives another.
constexpr const char* kLlama31Date = "26 Jul 2024";

// Python's str.isspace, which Jinja's trim goes by, in UTF-8.
constexpr std::array<std::string_view, 29> kPythonSpaces = {
    "\t",           "\n",           "\v",           "\f",           "\r",
    "\x1c",         "\x1d",         "\x1e",         "\x1f",         " ",
    "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81",
    "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
    "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
    "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};

std::string trim(std::string_view text) {
  auto drop = [&](auto&& at_edge, auto&& cut) {
    for (bool found = true; found;) {
      found = false;
      for (std::string_view space : kPythonSpaces) {
        if (!at_edge(space)) continue;
        cut(space.size());
        found = true;
      }
    }
  };
  drop([&](std::string_view s) { return text.substr(0, s.size()) == s; },
       [&](std::size_t n) { text.remove_prefix(n); });
  drop(
      [&](std::string_view s) {
        return text.size() >= s.size() && text.substr(text.size() - s.size()) == s;
      },
      [&](std::size_t n) { text.remove_suffix(n); });
  return std::string(text);
}

[[noreturn]] void refuse(const std::string& found, const std::string& expected) {
  throw Error("conversation", found, expected);
}

/// The system message that a conversation begins with, if it does, and the messages after it, which
/// must be those of user and assistant in turn. A system message in the assistant's place passes,
/// as in the templates of Llama 2 and Mistral.
struct Turns {
  const std::string* system = nullptr;
  std::size_t first = 0;

  explicit Turns(const Messages& messages) {
    if (messages[0].role == "system") {
      system = &messages[0].content;
      first = 1;
    }
    for (std::size_t i = first; i < messages.size(); ++i)
      if ((messages[i].role == "user") != ((i - first) % 2 == 0))
        refuse(fmt::format("message {} is of the {}", i + 1, messages[i].role),
               "after the optional system message: user, assistant, user, ...");
  }
};

std::string render_llama2(const Conversation& chat) {
  const Turns turns(chat.messages);
  std::string text;
  for (std::size_t i = turns.first; i < chat.messages.size(); ++i) {
    const auto& [role, content] = chat.messages[i];
    if (role == "user") {
      const bool with_system = turns.system && i == turns.first;
      const std::string whole =
          with_system ? fmt::format("<<SYS>>\n{}\n<</SYS>>\n\n{}", *turns.system, content)
                      : content;
      text += fmt::format("{}[INST] {} [/INST]", chat.bos, trim(whole));
    } else if (role == "system") {
      text += fmt::format("<<SYS>>\n{}\n<</SYS>>\n\n", trim(content));
    } else {
      text += fmt::format(" {} {}", trim(content), chat.eos);
    }
  }
  return text;
}

std::string render_mistral(const Conversation& chat) {
  const Turns turns(chat.messages);
  std::string text = chat.bos;
  for (std::size_t i = turns.first; i < chat.messages.size(); ++i) {
    const auto& [role, content] = chat.messages[i];
    if (role == "system")
      refuse(fmt::format("message {} is of the system", i + 1), "a system message only at first");
    if (role == "assistant")
      text += fmt::format(" {}{}", content, chat.eos);
    else if (turns.system && i == turns.first)
      text += fmt::format(" [INST] {}\n\n{} [/INST]", *turns.system, content);
    else
      text += fmt::format(" [INST] {} [/INST]", content);
  }
  return text;
}

std::string llama3_message(const std::string& role, const std::string& content) {
  return fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>", role, content);
}
constexpr const char* kLlama3Prompt = "<|start_header_id|>assistant<|end_header_id|>\n\n";

std::string render_llama3(const Conversation& chat) {
  std::string text = chat.bos;
  for (const auto& [role, content] : chat.messages) text += llama3_message(role, trim(content));
  return chat.prompt ? text + kLlama3Prompt : text;
}

std::string render_llama31(const Conversation& chat) {
  const bool has_system = chat.messages[0].role == "system";
  const std::string system = has_system ? trim(chat.messages[0].content) : "";
  std::string text =
      chat.bos +
      llama3_message("system",
                     fmt::format("Cutting Knowledge Date: December 2023\nToday Date: {}\n\n{}",
                                 kLlama31Date, system));
  for (std::size_t i = has_system ? 1 : 0; i < chat.messages.size(); ++i)
    text += llama3_message(chat.messages[i].role, trim(chat.messages[i].content));
  return chat.prompt ? text + kLlama3Prompt : text;
}

std::string chatml(const Conversation& chat, const char* default_system) {
  auto message = [](const std::string& role, const std::string& content) {
    return fmt::format("<|im_start|>{}\n{}<|im_end|>\n", role, content);
  };
  std::string text;
  if (default_system && chat.messages[0].role != "system") text = message("system", default_system);
  for (const auto& [role, content] : chat.messages) text += message(role, content);
  return chat.prompt ? text + "<|im_start|>assistant\n" : text;
}
std::string render_chatml(const Conversation& chat) { return chatml(chat, nullptr); }
std::string render_smollm2(const Conversation& chat) { return chatml(chat, kSmolLm2System); }
std::string render_qwen2(const Conversation& chat) { return chatml(chat, kQwen2System); }

std::string render_zephyr(const Conversation& chat) {
  std::string text;
  for (const auto& [role, content] : chat.messages)
    text += fmt::format("<|{}|>\n{}{}\n", role, content, chat.eos);
  return chat.prompt ? text + "<|assistant|>\n" : text;
}

std::string render_tulu(const Conversation& chat) {
  std::string text;
  for (const ChatMessage& message : chat.messages) {
    const bool answer = message.role == "assistant", last = &message == &chat.messages.back();
    text += fmt::format("<|{}|>\n{}", message.role, message.content);
    if (answer) text += chat.eos;
    if (!answer || !last) text += "\n";
  }
  return chat.prompt ? text + "<|assistant|>\n" : text;
}

std::string render_world(const Conversation& chat) {
  std::string text;
  for (const auto& [role, content] : chat.messages) {
    if (role == "system") refuse("a system message", "those of user and assistant only");
    if (!text.empty()) text += " ";
    text += (role == "user" ? "<user> " : "<bot> ") + content;
  }
  return chat.prompt ? text + " <bot>" : text;
}

std::string render_none(const Conversation& chat) {
  std::string text;
  for (const ChatMessage& message : chat.messages)
    text += (&message == &chat.messages.front() ? "" : "\n") + message.content;
  return text;
}

const std::string kChatMlMessage =
    "'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'";
const std::string kLlama3Message = "'<|start_header_id|>' + message['role'] + '<|end_header_id|>";

const std::vector<ChatRules>& all_rules() {
  static const std::vector<ChatRules> rules = {
      {.name = "llama2",
       .bos = "<s>",
       .eos = "</s>",
       .contains = {"'<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content']",
                    "bos_token + '[INST] ' + content.strip() + ' [/INST]'",
                    "' ' + content.strip() + ' ' + eos_token"},
       .lacks = {"elif true == true"},  // writes a default system prompt
       .render = render_llama2},
      {.name = "llama3",
       .bos = "<|begin_of_text|>",
       .stop = "<|eot_id|>",
       .contains = {kLlama3Message, "| trim", "'<|eot_id|>'", "set content = bos_token + content",
                    "if add_generation_prompt"},
       .lacks = {"date_string", "tools"},
       .render = render_llama3},
      {.name = "llama3.1",
       .bos = "<|begin_of_text|>",
       .stop = "<|eot_id|>",
       .contains = {kLlama3Message, "'Cutting Knowledge Date: December 2023\n'", "'Today Date: '",
                    fmt::format("set date_string = '{}'", kLlama31Date)},
       .lacks = {"strftime_now"},  // Llama 3.2 and 3.3: the text would change from day to day
       .render = render_llama31},
      {.name = "mistral",
       .bos = "<s>",
       .eos = "</s>",
       .contains = {"' [INST] ' + system_message + '\n\n' + ", "' [/INST]'", "{{- bos_token }}",
                    "raise_exception('After the optional system message, conversation roles must "
                    "alternate"},
       .lacks = {"tools"},
       .render = render_mistral},
      {.name = "chatml",
       .stop = "<|im_end|>",
       .contains = {kChatMlMessage, "if add_generation_prompt", "'<|im_start|>assistant\n'"},
       .lacks = {"<|im_start|>system", "bos_token", "tools", "trim", "strip"},
       .render = render_chatml},
      {.name = "chatml-smollm2",
       .stop = "<|im_end|>",
       .contains = {kChatMlMessage, "if loop.first and messages[0]['role'] != 'system'",
                    fmt::format("'<|im_start|>system\n{}<|im_end|>\n'", kSmolLm2System)},
       .lacks = {"bos_token", "tools", "trim", "strip"},
       .render = render_smollm2},
      {.name = "qwen2",
       .stop = "<|im_end|>",
       .contains = {"'<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n'",
                    fmt::format("'<|im_start|>system\n{}<|im_end|>\n'", kQwen2System)},
       .lacks = {"<think>", "image", "vision"},
       .render = render_qwen2},
      {.name = "zephyr",
       .eos = "</s>",
       .contains = {"'<|user|>\n' + message['content'] + eos_token }}\n",
                    "'<|system|>\n' + message['content'] + eos_token }}\n",
                    "'<|assistant|>\n' + message['content'] + eos_token }}\n",
                    "{{ '<|assistant|>' }}\n"},
       .lacks = {"bos_token"},
       .render = render_zephyr},
      {.name = "tulu",
       .eos = "<|end_of_text|>",
       .contains = {"'<|user|>\n' + message['content'] + '\n' }}{%",
                    "{% if not loop.last %}{{ '<|assistant|>\n' + message['content'] + eos_token + "
                    "'\n' }}{% else %}{{ '<|assistant|>\n' + message['content'] + eos_token }}"},
       .lacks = {"bos_token"},  // OLMo 2
       .render = render_tulu},
      {.name = "world", .contains = {kWorldChatTemplate}, .render = render_world},
      {.name = "none", .render = render_none},
  };
  return rules;
}

const std::vector<ChatFormat>& all_formats() {
  static const std::vector<ChatFormat> formats(all_rules().begin(), all_rules().end());
  return formats;
}

/// Spellings that mean the same to Jinja made one: "\n" and a line's end within a string, both
/// kinds of quotes, runs of spaces.
std::string comparable(std::string_view jinja) {
  std::string text;
  for (std::size_t i = 0; i < jinja.size(); ++i) {
    const char c = jinja[i];
    if (c == '\\' && i + 1 < jinja.size() && jinja[i + 1] == 'n') {
      text += '\n';
      ++i;
    } else if (c == ' ' && !text.empty() && text.back() == ' ') {
      continue;
    } else {
      text += c == '"' ? '\'' : c;
    }
  }
  return text;
}

bool matches(const ChatRules& rules, const std::string& text) {
  auto found = [&](const std::string& part) { return text.find(part) != std::string::npos; };
  return !rules.contains.empty() &&
         std::all_of(rules.contains.begin(), rules.contains.end(), found) &&
         std::none_of(rules.lacks.begin(), rules.lacks.end(), found);
}

std::string read_text(const fs::path& path) {
  const MappedFile file(path);
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

/// chat_template of tokenizer_config.json: text, or a list of {name, template}.
std::optional<std::string> template_of_config(const fs::path& path) {
  const nlohmann::json config = parse_json(read_text(path), path.string());
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array()) {
    for (const nlohmann::json& entry : *found)
      if (entry.is_object() && entry.value("name", "") == "default" && entry.contains("template") &&
          entry["template"].is_string())
        return entry["template"].get<std::string>();
  }
  throw Error(path.string(), "chat_template is neither text nor a list with a \"default\"",
              "a Jinja template");
}

}  // namespace

ChatFormat::ChatFormat(const ChatRules& rules) : rules_(&rules), bos_(rules.bos), eos_(rules.eos) {}

const std::string& ChatFormat::name() const { return rules_->name; }

std::string ChatFormat::render(const std::vector<ChatMessage>& messages,
                               bool add_generation_prompt) const {
  if (messages.empty()) refuse("no message", "one at least");
  for (const ChatMessage& message : messages)
    if (message.role != "system" && message.role != "user" && message.role != "assistant")
      refuse(fmt::format("the role \"{}\"", message.role), "system, user or assistant");
  return rules_->render({messages, add_generation_prompt, bos_, eos_});
}

std::vector<std::string> ChatFormat::stop_strings() const {
  if (!rules_->stop.empty()) return {rules_->stop};
  if (!eos_.empty()) return {eos_};
  return {};
}

ChatFormat ChatFormat::with_tokens(const std::string& bos, const std::string& eos) const {
  ChatFormat result = *this;
  if (!rules_->bos.empty()) result.bos_ = bos;
  if (!rules_->eos.empty()) result.eos_ = eos;
  return result;
}

std::vector<std::string> chat_format_names() {
  std::vector<std::string> names;
  for (const ChatRules& rules : all_rules()) names.push_back(rules.name);
  return names;
}

const ChatFormat& chat_format(const std::string& name) {
  for (const ChatFormat& format : all_formats())
    if (format.name() == name) return format;
  throw Error("", fmt::format("unknown chat format \"{}\"", name),
              fmt::format("one of {}", fmt::join(chat_format_names(), ", ")),
              did_you_mean(name, chat_format_names()));
}

const ChatFormat& detect_chat_format(std::string_view jinja, const std::string& where) {
  const std::string text = comparable(jinja);
  for (std::size_t i = 0; i < all_rules().size(); ++i)
    if (matches(all_rules()[i], text)) return all_formats()[i];
  if (text.find("'Today Date: '") != std::string::npos &&
      text.find("strftime_now") != std::string::npos)
    throw Error(where, "the chat template of Llama 3.2 and 3.3, which writes the day's date",
                fmt::format("one that says the same every day, as Llama 3.1's ({})", kLlama31Date),
                "replace strftime_now in it by a date, or take Llama 3.1's template");
  throw Error(where, "a chat template that is none of those known here",
              fmt::format("that of one of {}", fmt::join(chat_format_names(), ", ")),
              "replace chat_template by the template of the format that the model was tuned with, "
              "or remove it to have the text as it stands");
}

std::optional<ChatTemplate> read_chat_template(const std::string& reference) {
  const fs::path file = find_tokenizer_file(reference);
  if (file.extension() == ".gguf") {
    const GgufFile gguf = read_gguf(file);
    const auto* jinja = gguf.find<std::string>("tokenizer.chat_template");
    if (!jinja) return std::nullopt;
    return ChatTemplate{*jinja, file.string()};
  }
  const fs::path alone = file.parent_path() / "chat_template.jinja";
  if (fs::exists(alone)) return ChatTemplate{read_text(alone), alone.string()};
  const fs::path config = file.parent_path() / "tokenizer_config.json";
  if (!fs::exists(config)) return std::nullopt;
  auto jinja = template_of_config(config);
  if (!jinja) return std::nullopt;
  return ChatTemplate{*jinja, config.string()};
}

ChatFormat open_chat_format(const std::optional<ChatTemplate>& chat_template,
                            const Tokenizer& tokenizer) {
  if (!chat_template) return chat_format("none");
  const ChatFormat& format = detect_chat_format(chat_template->jinja, chat_template->where);
  auto text_of = [&](const std::optional<std::int64_t>& id) {
    return id ? tokenizer.decode({*id}) : std::string();
  };
  return format.with_tokens(text_of(tokenizer.bos()), text_of(tokenizer.eos()));
}

std::vector<std::int64_t> encode_chat(const Tokenizer& tokenizer, const ChatFormat& format,
                                      const std::vector<ChatMessage>& messages,
                                      bool add_generation_prompt) {
  std::vector<std::int64_t> ids =
      tokenizer.encode(format.render(messages, add_generation_prompt), /*special=*/false);
  const bool written = !ids.empty() && ids.front() == tokenizer.bos();
  if (tokenizer.adds_bos() && !written) ids.insert(ids.begin(), *tokenizer.bos());
  return ids;
}

}  // namespace harness
