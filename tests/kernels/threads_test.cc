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
#include "harness/kernels/packed_linear.h"
#include "harness/kernels/straight_through.h"
#include "harness/kernels/transformer_ops.h"
#include "harness/quant/gptq.h"
#include "harness/quant/training_loss.h"

// Kernels run on torch's threads, and no bit of a result depends on how many there are. Attention
// and integer Linears: attention_test.cc, integer_linear_test.cc. What holds less, since a library
// computes it, is said where it is tested.

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

TEST_F(Threads, StepsDoneWhereRowsAreMadeDoNotDependOnThem) {
  const c10::InferenceMode inference;
  const RowSteps quantize = {QuantizeRows{{4, 0, false, 0.9}, "x"}};
  const RowSteps mix = {HadamardRows{}, QuantizeRows{{4, 16, true, 1.0}, "x"}};
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const std::string name = c10::toString(dtype);
    const at::Tensor x = at::randn({307, 576}).to(dtype), up = at::randn({307, 576}).to(dtype);
    const at::Tensor weight = at::randn({576}).to(dtype), angle = at::randn({211, 32});
    const at::Tensor heads = at::randn({3, 211, 5, 64}).to(dtype).transpose(1, 2);
    for (const RowSteps& steps : {quantize, mix}) {
      expect_same(name + " steps", [&] { return apply_rows(x, steps); });
      expect_same(name + " RMSNorm", [&] { return rms_norm(x, weight, 1e-5, steps); });
      expect_same(name + " SwiGLU", [&] { return swiglu(x.clone(), up, steps); });
      expect_same(name + " RoPE",
                  [&] { return rotate_halves(heads, angle.cos(), angle.sin(), steps); });
    }
  }
}

/// What is kept of logits [n, vocabulary], for one sequence.
SubsetTargets targets_of(const at::Tensor& logits, std::int64_t k) {
  const at::Tensor indices = std::get<1>(logits.topk(k, -1));
  return {.indices = indices.to(at::kInt).unsqueeze(0),
          .logits = logits.gather(1, indices).unsqueeze(0),
          .log_sum_exp = at::logsumexp(logits.to(at::kFloat), {-1}).unsqueeze(0)};
}

TEST_F(Threads, TrainingLossesDoNotDependOnThem) {
  const std::int64_t positions = 131, vocabulary = 5003, k = 500;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}) {
    auto logits = [&] { return (at::randn({positions, vocabulary}) * 3).to(dtype); };
    const at::Tensor student = logits(), teacher = logits(), base = logits();
    auto check = [&](const std::string& what, const TrainingLoss& loss) {
      auto backward = [&] {
        at::Tensor sums = at::zeros({static_cast<std::int64_t>(loss.terms().size())}, at::kDouble);
        const at::Tensor gradient = loss.backward(student, 0, 0, sums);
        return at::cat({gradient.to(at::kDouble).flatten(), sums});
      };
      expect_same(std::string(c10::toString(dtype)) + " " + what, backward);
    };
    for (const bool renormalise : {false, true})
      check("distillation",
            Distillation({targets_of(teacher, k), targets_of(base, k)},
                         {.top_k = k, .renormalise = renormalise, .alpha = 0.75, .push_top_k = k}));
    check("cross entropy", CrossEntropy(at::randint(vocabulary, {1, positions + 1})));
    expect_same("subset of the push",
                [&] { return push_indices(teacher, base, PushSubset::probability_difference, k); });
  }
}

// oneDNN chooses its blocks by them, and so the order of a sum, which is then rounded to bfloat16
// once (seen with 300 rows). Where nothing is packed it is at::linear's product.
TEST_F(Threads, LinearsInBfloat16DependOnThemByARoundingAtMost) {
  const c10::InferenceMode inference;
  const at::Tensor weight = at::randn({576, 1536}).to(at::kBFloat16);
  const at::Tensor packed = can_pack(weight) ? pack_weight(weight) : at::Tensor();
  for (const std::int64_t rows : {1, 7, 300, 2048}) {
    const at::Tensor x = at::randn({rows, 1536}).to(at::kBFloat16);
    auto product = [&] {
      const at::Tensor y = packed.defined() ? packed_linear(x, packed, {}) : at::linear(x, weight);
      return y.to(at::kFloat);
    };
    const at::Tensor one = with(1, product);
    for (const int threads : {2, 3})
      EXPECT_TRUE(at::allclose(one, with(threads, product), 1.0 / 128, 1e-3))
          << rows << " rows, " << threads << " threads";
  }
}

// LAPACK's factor depends on them, by roundings. Of one factor the scales and the first block of
// columns have the same bits; what goes to the columns behind a block is a product of BLAS, which
// promises none, so of those it is what they lose that holds.
TEST_F(Threads, GptqOverSeveralBlocksDependsOnThemByLibrariesRoundingsOnly) {
  const std::int64_t rows = 333, columns = 384, block = 128;
  const at::Tensor weight = at::randn({rows, columns}), x = at::randn({2 * columns, columns});
  const at::Tensor hessian = x.t().matmul(x);
  auto upper = [&] { return factor_hessian(hessian, {}, "H").upper; };
  const at::Tensor factor_of_one = with(1, upper);
  EXPECT_TRUE(
      at::allclose(factor_of_one, with(3, upper), 1e-3, 1e-3 * factor_of_one.max().item<double>()));

  const GptqFactor factor = factor_hessian(hessian, {}, "H");
  auto quantized = [&](int threads) {
    at::set_num_threads(threads);
    return gptq(weight, factor, {4, 0, true, 1.0}, {}, "w");
  };
  const GptqResult one = quantized(1);
  for (const int threads : {2, 3}) {
    const GptqResult more = quantized(threads);
    EXPECT_TRUE(at::equal(more.weight.scales, one.weight.scales));
    EXPECT_TRUE(
        at::equal(more.weight.codes.slice(1, 0, block), one.weight.codes.slice(1, 0, block)));
    EXPECT_NEAR(more.loss / one.loss, 1, 1e-3) << threads << " threads";
  }
}

}  // namespace
}  // namespace harness
