#pragma once

#include <ATen/ATen.h>

#include <map>
#include <stdexcept>
#include <string>
#include <utility>

#include "harness/plugin/method.h"
#include "harness/quant/transform.h"

// What a method is given in tests that apply it to a model in memory.

namespace harness::test {

/// For methods that ask for no other model.
class NoReferences : public References {
 public:
  const Model& model(Role) override { throw std::logic_error("asked for another model"); }
  const LlamaModel& llama(Role) override { throw std::logic_error("asked for another model"); }
};

/// Sequences of random tokens of tiny_config()'s vocabulary.
inline at::Tensor random_calibration(std::int64_t sequences) {
  return at::randint(40, {sequences, 12}, at::detail::createCPUGenerator(5), at::kLong);
}

class FixedCalibration : public Calibration {
 public:
  explicit FixedCalibration(at::Tensor tokens) : tokens_(std::move(tokens)) {}
  const at::Tensor& tokens() override { return tokens_; }
  std::string digest() override { return "fixed"; }

 private:
  at::Tensor tokens_;
};

/// What a method says of its work: value by step by series.
class Recorded : public MethodRecord {
 public:
  void curve(const std::string& series, std::int64_t step, double value) override {
    curves[series][step] = value;
  }
  void metric(const std::string& name, double value) override { metrics[name] = value; }
  void transform(const Transform& folded) override { transformed = folded; }
  std::map<std::string, std::map<std::int64_t, double>> curves;
  std::map<std::string, double> metrics;
  Transform transformed;
};

}  // namespace harness::test
