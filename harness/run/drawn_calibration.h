#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/experiment.h"
#include "harness/model/chat.h"
#include "harness/model/tokenizer.h"
#include "harness/plugin/eval.h"
#include "harness/plugin/method.h"
#include "harness/run/transcripts.h"
#include "harness/train/pair.h"

namespace harness {

/// What calibration is drawn from besides the spec.
using CalibrationInputs = TranscriptInputs;

/// Adds what is wrong with a spec: keys that exclude each other, texts that are not there,
/// transcripts for a model that belongs to no pair.
/// @param pair the model's, or null
void check_calibration(const CalibrationSpec& spec, const std::string& data_dir, const Pair* pair,
                       const std::string& where, Problems& problems);

/// Adds what only the model tells: a text of fewer tokens than a sequence, transcripts for a model
/// without a chat template. Reads a text no further than it takes to know.
void check_calibration_tokens(const CalibrationSpec& spec, const CalibrationInputs& inputs,
                              Problems& problems);

/// What a spec names, by digest, without a model.
std::vector<DataUse> calibration_data(const CalibrationSpec& spec, const std::string& data_dir,
                                      const Pair* pair);

/// Sequences of each part's share, drawn from the stream (seed, "calibration"):
/// - of a text, windows at random offsets (methods.md section 4);
/// - of transcripts, whole conversations in the model's chat format, in random order, one after the
///   other until the sequence is full; each sequence begins with a conversation.
/// Those of several parts stand in random order.
class DrawnCalibration : public Calibration {
 public:
  DrawnCalibration(CalibrationSpec spec, CalibrationInputs inputs, std::uint64_t seed);
  /// int64 [samples, length]. @throws Error when a text is shorter than a sequence
  const at::Tensor& tokens() override;
  std::string digest() override;

 private:
  at::Tensor draw(const CalibrationPart& part, std::int64_t samples) const;

  CalibrationSpec spec_;
  CalibrationInputs inputs_;
  std::uint64_t seed_;
  at::Tensor tokens_;
};

}  // namespace harness
