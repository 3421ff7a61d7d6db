#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <set>
#include <string>

#include "harness/kernels/hadamard.h"
#include "harness/kernels/ops.h"
#include "harness/kernels/straight_through.h"
#include "harness/kernels/transformer_ops.h"

// Kernels run on torch's threads, and no bit of a result depends on how many there are.

namespace harness {
namespace {

class Threads : public testing::Test {
 protected:
  ~Threads() override { at::set_num_threads(before_); }

  static at::Tensor with(int threads, const std::function<at::Tensor()>& run) {
    at::set_num_threads(threads);
    return run();
  }

  static void expect_same(const std::string& what, const std::function<at::Tensor()>& run) {
    const at::Tensor one = with(1, run);
    for (const int threads : {2, 3})
      EXPECT_TRUE(at::equal(one, with(threads, run))) << what << ", " << threads << " threads";
  }

 private:
  const int before_ = at::get_num_threads();
};

// What is compiled without OpenMP sees a plain loop in ATen's header, and all tests below would
// pass.
TEST_F(Threads, ALoopIsCutIntoAsManyPartsAsThereAreThreads) {
  at::set_num_threads(3);
  std::atomic<int> calls{0}, threads{0};
  at::parallel_for(0, 3, 1, [&](std::int64_t, std::int64_t) {
    ++calls;
    threads += 1 << (4 * at::get_thread_num());
  });
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(threads, 0x111);
}

// Two would each keep a pool of threads that spin while they wait.
TEST_F(Threads, OneOpenMpLibraryIsLoaded) {
  std::ifstream maps("/proc/self/maps");
  std::set<std::string> files;
  for (std::string line; std::getline(maps, line);)
    if (line.find("libgomp") != std::string::npos || line.find("libomp") != std::string::npos ||
        line.find("libiomp") != std::string::npos)
      files.insert(line.substr(line.find('/')));
  EXPECT_EQ(files.size(), 1u) << testing::PrintToString(files);
}

TEST_F(Threads, QuantizersDoNotDependOnThem) {
  const std::int64_t rows = 301, columns = 33 * 16;  // several grains, cut at odd rows
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}) {
    const at::Tensor x = at::randn({rows, columns}).to(dtype);
    const std::string name = c10::toString(dtype);
    for (const std::int64_t group : {0, 16}) {
      const QuantSpec activation{4, group, false, 0.9}, weight{4, group, true, 1.0};
      expect_same(name + " activation", [&] { return fake_quantize(x, activation, "x"); });
      expect_same(name + " weight", [&] { return fake_quantize_weight(x, weight, "w"); });
      expect_same(name + " MSE clip",
                  [&] { return quantize_weight(x, weight, true, "w").dequantize(dtype); });
      if (dtype == at::kHalf) continue;
      const at::Tensor by = at::randn({rows, columns}).to(dtype);
      expect_same(name + " gradient", [&] {
        const at::Tensor leaf = x.clone().set_requires_grad(true);
        fake_quantize_straight_through(leaf, activation, "x").backward(by);
        return leaf.grad();
      });
    }
  }
}

TEST_F(Threads, RotationsNormsAndLossesDoNotDependOnThem) {
  const c10::InferenceMode inference;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const std::string name = c10::toString(dtype);
    const at::Tensor x = at::randn({307, 576}).to(dtype), weight = at::randn({576}).to(dtype);
    expect_same(name + " Hadamard", [&] { return hadamard_transform(x); });
    expect_same(name + " RMSNorm", [&] { return rms_norm(x, weight, 1e-5); });
    // 307 * 575 values: threads begin where no vector does.
    const at::Tensor gate = at::randn({307, 575}).to(dtype), up = at::randn({307, 575}).to(dtype);
    expect_same(name + " SwiGLU", [&] { return swiglu(gate.clone(), up); });
    const at::Tensor heads = at::randn({3, 5, 211, 64}).to(dtype);
    const at::Tensor angle = at::randn({211, 32});
    expect_same(name + " RoPE", [&] { return rotate_halves(heads, angle.cos(), angle.sin()); });
    const at::Tensor logits = at::randn({37, 5003}).to(dtype);
    const at::Tensor targets = at::randint(5003, {37});
    expect_same(name + " NLL", [&] { return token_nll(logits, targets); });
    expect_same(name + " log-sum-exp", [&] { return log_sum_exp(logits); });
  }
}

}  // namespace
}  // namespace harness
