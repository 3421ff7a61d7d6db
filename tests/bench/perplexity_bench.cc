#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "harness/core/memory.h"
#include "harness/model/llama.h"
#include "tests/support/support.h"

// The harness's side of perplexity_vs_transformers.py: one JSON line on the standard output.
//   perplexity_bench perplexity MODEL DTYPE THREADS BATCH WINDOW IDS    IDS: a file of int64
//   perplexity_bench matrix DTYPE THREADS                               GFLOP/s of 2048^3 products

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double cpu_seconds(const rusage& usage) {
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

rusage usage_now() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage;
}

at::ScalarType dtype_of(const std::string& name) {
  if (name == "float32") return at::kFloat;
  if (name == "bfloat16") return at::kBFloat16;
  throw harness::Error("DTYPE", name, "float32 or bfloat16");
}

// The first batch warms up and is not counted.
void perplexity(const std::string& model_file, at::ScalarType dtype, std::int64_t batch,
                std::int64_t window, const std::string& ids_file) {
  std::string bytes = harness::test::read_file(ids_file);
  const auto count = static_cast<std::int64_t>(bytes.size() / sizeof(std::int64_t));
  const std::int64_t batches = count / (batch * window);
  if (batches < 2) throw harness::Error(ids_file, fmt::format("{} tokens", count), "two batches");
  const at::Tensor tokens = at::from_blob(bytes.data(), {count}, at::kLong)
                                .slice(0, 0, batches * batch * window)
                                .view({batches, batch, window});
  const auto model =
      harness::LlamaModel::load(*harness::open_checkpoint(model_file), dtype, at::kCPU);
  model->pack_weights();
  model->token_nll(tokens[0]);
  const rusage before = usage_now();
  const Clock::time_point start = Clock::now();
  double nll = 0;
  for (std::int64_t i = 1; i < batches; ++i)
    nll += model->token_nll(tokens[i]).to(at::kDouble).mean().item<double>();
  const double wall = seconds_since(start);
  const rusage after = usage_now();
  fmt::print(
      "{{\"tokens_per_second\": {}, \"cpu_seconds_per_window\": {}, \"peak_mb\": {}, \"nll\": "
      "{}}}\n",
      static_cast<double>((batches - 1) * batch * window) / wall,
      (cpu_seconds(after) - cpu_seconds(before)) / static_cast<double>((batches - 1) * batch),
      static_cast<double>(after.ru_maxrss) * 1024 / 1e6, nll / static_cast<double>(batches - 1));
}

void matrix_rate(at::ScalarType dtype) {
  constexpr std::int64_t kSize = 2048;
  const at::Tensor a = at::randn({kSize, kSize}).to(dtype), b = at::randn({kSize, kSize}).to(dtype);
  at::linear(a, b);
  const Clock::time_point start = Clock::now();
  int products = 0;
  for (; seconds_since(start) < 2; ++products) at::linear(a, b);
  fmt::print("{{\"gflops\": {}}}\n",
             2e-9 * kSize * kSize * kSize * products / seconds_since(start));
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> words(arguments + 1, arguments + count);
  harness::reuse_freed_memory();
  const c10::InferenceMode inference;
  try {
    if (words.size() == 7 && words[0] == "perplexity") {
      at::set_num_threads(std::stoi(words[3]));
      perplexity(words[1], dtype_of(words[2]), std::stol(words[4]), std::stol(words[5]), words[6]);
    } else if (words.size() == 3 && words[0] == "matrix") {
      at::set_num_threads(std::stoi(words[2]));
      matrix_rate(dtype_of(words[1]));
    } else {
      fmt::print(stderr,
                 "perplexity_bench perplexity MODEL DTYPE THREADS BATCH WINDOW IDS\n"
                 "perplexity_bench matrix DTYPE THREADS\n");
      return 2;
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
