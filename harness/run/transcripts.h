#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/model/chat.h"
#include "harness/model/tokenizer.h"
#include "harness/plugin/eval.h"
#include "harness/train/chat_source.h"
#include "harness/train/pair.h"

namespace harness {

/// What chat transcripts are read with.
struct TranscriptInputs {
  std::string data_dir;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;
  std::shared_ptr<const Pair> pair;  // of the run's model; null: it belongs to none
};

/// The name that stands for what the model's pair is fine-tuned on.
inline constexpr const char* kPairTranscripts = "pair";

/// @throws Error that names every place looked at
std::filesystem::path find_transcripts(const std::string& name, const std::string& data_dir);

/// The conversations of a file of JSON lines, in the model's chat format.
/// @throws Error when it has none, or a line is malformed
std::vector<ChatExample> file_conversations(const std::string& name,
                                            const TranscriptInputs& inputs);

/// Reads such a file as far as it can be read: of a model that is still to be trained there is no
/// tokenizer, only the lines can be looked at.
/// @throws Error as file_conversations() does
void check_conversations(const std::string& name, const TranscriptInputs& inputs);

/// The rows of a batch, without their padding.
std::vector<ChatExample> conversations_of(const TrainBatch& batch);

/// Digest of what RunTranscripts reads for "pair".
std::string pair_transcripts_digest(const Pair& pair);

/// For "pair" it reads batches of the pair's source that neither its training nor a calibration
/// reaches: where the source draws examples without end these are transcripts that nobody has seen.
class RunTranscripts : public Transcripts {
 public:
  explicit RunTranscripts(TranscriptInputs inputs) : inputs_(std::move(inputs)) {}
  std::vector<Transcript> read(const std::string& chat, std::int64_t count) override;

 private:
  TranscriptInputs inputs_;
};

}  // namespace harness
