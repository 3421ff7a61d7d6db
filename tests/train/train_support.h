#pragma once

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "harness/model/checkpoint.h"
#include "harness/train/initial_weights.h"
#include "harness/train/trainer.h"
#include "tests/support/support.h"

namespace harness::test {

/// One batch, always the same.
class OneBatch : public ExampleSource {
 public:
  OneBatch(at::Tensor tokens, at::Tensor targets) : batch_{std::move(tokens), std::move(targets)} {}
  TrainBatch batch(std::int64_t) const override { return batch_; }
  std::string canonical() const override { return "one batch"; }

 private:
  TrainBatch batch_;
};

/// Batches of 4 sequences of 16 tokens over a vocabulary of 300 that differ with the index.
class RandomBatches : public ExampleSource {
 public:
  explicit RandomBatches(std::int64_t sequences = 4) : sequences_(sequences) {}
  TrainBatch batch(std::int64_t index) const override {
    const auto generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(index) + 1);
    const at::Tensor text = at::randint(300, {sequences_, 17}, generator, at::kLong);
    return {text.slice(1, 0, 16).contiguous(), text.slice(1, 1).contiguous()};
  }
  std::string canonical() const override { return "random batches"; }

 private:
  std::int64_t sequences_;
};

/// Two batches as one, by rows.
class Joined : public ExampleSource {
 public:
  explicit Joined(const ExampleSource& source) : source_(source) {}
  TrainBatch batch(std::int64_t index) const override {
    const TrainBatch a = source_.batch(2 * index), b = source_.batch(2 * index + 1);
    return {at::cat({a.tokens, b.tokens}), at::cat({a.targets, b.targets})};
  }
  std::string canonical() const override { return "joined " + source_.canonical(); }

 private:
  const ExampleSource& source_;
};

inline std::unique_ptr<Checkpoint> tiny() { return open_checkpoint(golden("tiny").string()); }

/// A new untied model: 2 layers, hidden 32, 4 heads over 2 kv heads, MLP 48, vocabulary 300.
inline LlamaConfig new_config() {
  LlamaConfig config;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 8;
  config.vocab_size = 300;
  config.max_position_embeddings = 64;
  return config;
}

inline TrainOptions short_training(std::int64_t steps = 6) {
  TrainOptions options;
  options.steps = steps;
  options.lr = 5e-3;
  options.warmup = 2;
  options.schedule = "cosine";
  options.weight_decay = 0.1;
  return options;
}

using Curves = std::map<std::string, std::map<std::int64_t, double>>;

struct Trained {
  std::map<std::string, at::Tensor> tensors;
  TrainOutcome outcome;
  Curves curves;
};

inline Trained train_on(const Checkpoint& checkpoint, const ExampleSource& source,
                        const TrainOptions& options, TrainHooks hooks = {},
                        const Criterion* criterion = nullptr) {
  Trained trained;
  auto told = hooks.curve;
  hooks.curve = [&, told](const CurveValue& value) {
    trained.curves[value.series][value.step] = value.value;
    if (told) told(value);
  };
  TrainableModel model(checkpoint, options);
  trained.outcome = train(model, source, criterion, options, hooks);
  trained.tensors = model.tensors();
  return trained;
}

/// Names of the tensors that differ in a bit.
inline std::vector<std::string> differing(const std::map<std::string, at::Tensor>& a,
                                          const std::map<std::string, at::Tensor>& b) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : a)
    if (!at::equal(tensor, b.at(name))) names.push_back(name);
  return names;
}

}  // namespace harness::test
