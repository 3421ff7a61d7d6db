#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "harness/core/experiment.h"
#include "harness/model/tokenizer.h"
#include "harness/plugin/method.h"

namespace harness {

/// Windows of a text at random offsets (methods.md section 4), drawn from the stream (seed,
/// "calibration").
class TextCalibration : public Calibration {
 public:
  TextCalibration(CalibrationSpec spec, std::string data_dir, const Tokenizer& tokenizer,
                  std::uint64_t seed);
  /// int64 [samples, length]. @throws Error when the text is shorter than asked
  const at::Tensor& tokens() override;
  std::string digest() override;

 private:
  CalibrationSpec spec_;
  std::string data_dir_;
  const Tokenizer& tokenizer_;
  std::uint64_t seed_;
  at::Tensor tokens_;
};

}  // namespace harness
