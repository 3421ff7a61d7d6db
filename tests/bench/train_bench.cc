// How long a training step takes: of the world pair's model (pairs.md), or of a checkpoint.
//   OMP_NUM_THREADS=2 build/release/tests/bench/train_bench
//   OMP_NUM_THREADS=2 build/release/tests/bench/train_bench CHECKPOINT [--checkpoint-blocks]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <chrono>
#include <cstring>

#include "harness/core/provenance.h"
#include "harness/train/initial_weights.h"
#include "harness/train/trainer.h"

namespace harness {
namespace {

class RandomTokens : public ExampleSource {
 public:
  RandomTokens(std::int64_t vocabulary, std::int64_t sequences, std::int64_t length,
               std::int64_t targets)
      : vocabulary_(vocabulary), sequences_(sequences), length_(length), targets_(targets) {}
  TrainBatch batch(std::int64_t index) const override {
    const auto generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(index));
    const at::Tensor tokens =
        at::randint(vocabulary_, {sequences_, length_ + 1}, generator, at::kLong);
    at::Tensor wanted = tokens.slice(1, 1).clone();
    wanted.slice(1, 0, length_ - targets_).fill_(-100);
    return {tokens.slice(1, 0, length_).contiguous(), wanted};
  }
  std::string canonical() const override { return "random tokens"; }

 private:
  std::int64_t vocabulary_, sequences_, length_, targets_;
};

LlamaConfig world_config() {
  LlamaConfig config;
  config.hidden_size = 64;
  config.intermediate_size = 192;
  config.num_hidden_layers = 3;
  config.num_attention_heads = config.num_key_value_heads = 4;
  config.head_dim = 16;
  config.vocab_size = 291;
  config.max_position_embeddings = 128;
  return config;
}

void measure(const Checkpoint& checkpoint, const TrainOptions& options,
             const ExampleSource& source) {
  TrainableModel model(checkpoint, options);
  auto last = std::chrono::steady_clock::now();
  std::vector<double> milliseconds;
  double loss = 0;
  TrainHooks hooks;
  hooks.curve = [&](const CurveValue& value) {
    if (value.series == "loss") loss = value.value;
    if (value.series != "lr") return;
    const auto now = std::chrono::steady_clock::now();
    milliseconds.push_back(std::chrono::duration<double, std::milli>(now - last).count());
    last = now;
  };
  train(model, source, nullptr, options, hooks);
  std::sort(milliseconds.begin(), milliseconds.end());
  fmt::print(
      "{} steps on {} threads: median {:.1f} ms, fastest {:.1f} ms; last loss {:.4f}; peak {}\n",
      options.steps, at::get_num_threads(), milliseconds[milliseconds.size() / 2],
      milliseconds.front(), loss, human_bytes(static_cast<double>(peak_memory_bytes())));
}

}  // namespace
}  // namespace harness

int main(int argc, char** argv) {
  using namespace harness;
  TrainOptions options;
  if (argc == 1) {
    options.steps = 100;
    measure(initial_weights(world_config(), {}, 0), options, RandomTokens(291, 32, 64, 64));
    return 0;
  }
  options.steps = 4;
  options.dtype = "bf16";
  options.frozen = {"model.embed_tokens.weight", "model.norm.weight"};
  options.checkpoint_blocks = argc > 2 && std::strcmp(argv[2], "--checkpoint-blocks") == 0;
  const auto checkpoint = open_checkpoint(argv[1]);
  measure(*checkpoint, options, RandomTokens(checkpoint->config().vocab_size, 16, 92, 28));
}
