#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/error.h"
#include "harness/core/format.h"
#include "harness/core/log.h"
#include "harness/core/rng.h"
#include "harness/model/llama.h"
#include "harness/model/model.h"

namespace harness {

/// Calibration text as tokens: int64 [samples, length], from the run's `calibration`. Made on first use.
class Calibration {
 public:
  virtual ~Calibration() = default;
  virtual const at::Tensor& tokens() = 0;
  virtual std::string digest() = 0;
};

/// State of a long loop, saved so that a killed run goes on to the same bits.
class StageCheckpoint {
 public:
  virtual ~StageCheckpoint() = default;
  virtual void save(const std::string& name, const std::vector<std::pair<std::string, at::Tensor>>& tensors) = 0;
  /// What was last saved under `name`, or nothing.
  virtual std::optional<std::vector<std::pair<std::string, at::Tensor>>> load(const std::string& name) = 0;
};

/// A training curve: series by name, a value a step.
class CurveSink {
 public:
  virtual ~CurveSink() = default;
  virtual void add(const std::string& series, std::int64_t step, double value) = 0;
};

struct MethodContext {
  LlamaModel& model;               // changed in place
  const Format& format;
  const LlamaModel* aligned;       // the unquantized model, where the method asked for it
  const LlamaModel* base;          // the pre-trained counterpart, where the method asked for it
  Calibration* calibration;        // null when the run names none
  std::uint64_t seed;
  StageCheckpoint& checkpoint;
  CurveSink& curves;
  Progress& progress;
};

/// What a method needs and does, so that a run can be checked before it starts.
struct MethodTraits {
  bool quantizes_weights = false;  // a run with format.w < 16 needs exactly one such method
  bool needs_calibration = false;
  bool needs_aligned = false;
  bool needs_base = false;
};

class Method {
 public:
  virtual ~Method() = default;
  virtual MethodTraits traits() const = 0;
  /// Bumped when the code changes what is computed; part of the stage key.
  virtual int version() const = 0;
  /// What can be wrong with this method under that format for a model of that config.
  virtual void check(const Format& format, const LlamaConfig& config, Problems& problems) const = 0;
  virtual void apply(MethodContext& context) const = 0;
};

}  // namespace harness
