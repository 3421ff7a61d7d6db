#include "harness/run/transcripts.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "harness/core/hash.h"
#include "harness/core/paths.h"

namespace harness {
namespace {

/// Above the steps of any training, and above what calibration draws (below 2^20) and goes on to.
constexpr std::int64_t kFirstUnseenBatch = std::int64_t{1} << 40;

}  // namespace

std::filesystem::path find_transcripts(const std::string& name, const std::string& data_dir) {
  try {
    return find_data_file(name, data_dir);
  } catch (const Error& missing) {
    throw Error(
        fmt::format("chat: no file {}; expected \"pair\", or the path of JSON lines of "
                    "{{\"messages\": [...]}}; {}",
                    name, missing.what()));
  }
}

std::vector<ChatExample> file_conversations(const std::string& name,
                                            const TranscriptInputs& inputs) {
  const std::filesystem::path path = find_transcripts(name, inputs.data_dir);
  if (!inputs.chat_template)
    throw Error(fmt::format("chat {}", name), "a model without a chat template",
                "one, in whose format transcripts are written",
                "name the template in the checkpoint's tokenizer_config.json");
  const ChatFormat format = open_chat_format(*inputs.chat_template, *inputs.tokenizer);
  std::vector<ChatExample> conversations;
  for (const auto& messages : read_chat_lines(path))
    conversations.push_back(tokenize_chat(messages, format, *inputs.tokenizer, {}, path.string()));
  return conversations;
}

void check_conversations(const std::string& name, const TranscriptInputs& inputs) {
  if (inputs.tokenizer)
    file_conversations(name, inputs);
  else
    read_chat_lines(find_transcripts(name, inputs.data_dir));
}

std::vector<ChatExample> conversations_of(const TrainBatch& batch) {
  std::vector<ChatExample> conversations;
  for (std::int64_t row = 0; row < batch.tokens.size(0); ++row) {
    const at::Tensor tokens = batch.tokens[row], targets = batch.targets[row];
    const auto* token = tokens.const_data_ptr<std::int64_t>();
    const auto* target = targets.const_data_ptr<std::int64_t>();
    std::int64_t end = tokens.size(0);
    while (end > 0 && target[end - 1] < 0) --end;
    conversations.push_back({{token, token + end}, {target, target + end}});
  }
  return conversations;
}

std::string pair_transcripts_digest(const Pair& pair) {
  const bool unseen = pair.recipe().phases.back().source->endless();
  return unseen ? sha256("unseen transcripts\n" + pair.digest()) : pair.digest();
}

std::vector<Transcript> RunTranscripts::read(const std::string& chat, std::int64_t count) {
  std::vector<ChatExample> conversations;
  if (chat != kPairTranscripts) {
    conversations = file_conversations(chat, inputs_);
  } else {
    if (!inputs_.pair)
      throw Error("chat = \"pair\"", "the model belongs to no pair",
                  "the path of JSON lines of {\"messages\": [...]}");
    const auto& source = inputs_.pair->recipe().phases.back().source;
    for (std::int64_t index = kFirstUnseenBatch;
         static_cast<std::int64_t>(conversations.size()) < count; ++index)
      for (ChatExample& each : conversations_of(source->batch(index)))
        conversations.push_back(std::move(each));
  }
  std::vector<Transcript> transcripts;
  for (ChatExample& each : conversations) {
    if (static_cast<std::int64_t>(transcripts.size()) == count) break;
    std::vector<bool> answers;
    for (const std::int64_t target : each.targets) answers.push_back(target >= 0);
    transcripts.push_back({std::move(each.tokens), std::move(answers)});
  }
  return transcripts;
}

}  // namespace harness
