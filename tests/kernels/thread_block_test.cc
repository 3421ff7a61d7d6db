// What the CUDA kernels do in a block of threads, on the CPU: every index and every sum. The
// threads of a phase run one after the other in a random order, so that what one of them needs of
// another in the same phase goes wrong.

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <random>

#include "harness/kernels/cpu_kernels.h"
#include "harness/kernels/divergence_block.h"
#include "harness/kernels/gptq_block.h"
#include "harness/kernels/gradient_block.h"
#include "harness/kernels/hadamard.h"
#include "harness/kernels/hadamard_block.h"
#include "harness/kernels/ops.h"
#include "harness/kernels/ops_device.h"
#include "harness/kernels/row_block.h"
#include "harness/kernels/straight_through.h"
#include "harness/kernels/transformer_block.h"
#include "harness/kernels/transformer_ops.h"
#include "tests/kernels/divergence_reference.h"

namespace harness::kernels {
namespace {

class ShuffledBlock {
 public:
  explicit ShuffledBlock(int count) : threads(count), order_(static_cast<std::size_t>(count)) {
    std::iota(order_.begin(), order_.end(), 0);
  }
  template <class Phase>
  void each(Phase&& phase) const {
    std::shuffle(order_.begin(), order_.end(), random_);
    for (const int thread : order_) phase(thread);
  }
  const int threads;

 private:
  mutable std::vector<int> order_;
  mutable std::mt19937 random_{5};
};

/// A stored type: its name in ATen, the step from 1 to its next value, and its smallest value.
template <class T>
struct Stored;
template <>
struct Stored<float> {
  static constexpr at::ScalarType kDtype = at::kFloat;
  static constexpr double kStep = 0x1p-23, kSmallest = 0x1p-149;
};
template <>
struct Stored<double> {
  static constexpr at::ScalarType kDtype = at::kDouble;
  static constexpr double kStep = 0x1p-52, kSmallest = 0x1p-1074;
};
template <>
struct Stored<Bf16> {
  static constexpr at::ScalarType kDtype = at::kBFloat16;
  static constexpr double kStep = 0x1p-7, kSmallest = 0x1p-133;
};
template <>
struct Stored<Half> {
  static constexpr at::ScalarType kDtype = at::kHalf;
  static constexpr double kStep = 0x1p-10, kSmallest = 0x1p-24;
};

template <class T>
class ThreadBlock : public testing::Test {
 protected:
  using C = Compute<T>;
  static constexpr at::ScalarType kDtype = Stored<T>::kDtype;
  static constexpr at::ScalarType kCompute = Stored<C>::kDtype;

  at::Tensor random(at::IntArrayRef shape) {
    return at::randn(shape, generator_, at::kDouble).to(kDtype);
  }
  /// What a kernel has to overwrite.
  static at::Tensor unwritten(const at::Tensor& like) {
    return at::full_like(like, std::numeric_limits<double>::quiet_NaN());
  }
  template <class U = T>
  static const U* data(const at::Tensor& x) {
    return static_cast<const U*>(x.const_data_ptr());
  }
  static T* output(at::Tensor& y) { return static_cast<T*>(y.mutable_data_ptr()); }

  /// Within `units` steps of the arithmetic, absolute, one of the stored type's, relative, and a
  /// few of its smallest values, where no step is smaller.
  static bool close(const at::Tensor& found, const at::Tensor& expected, const at::Tensor& units) {
    const at::Tensor wide = expected.to(at::kDouble);
    const at::Tensor allowed =
        units * Stored<C>::kStep + wide.abs() * Stored<T>::kStep + 8 * Stored<T>::kSmallest;
    return (found.to(at::kDouble) - wide).abs().le(allowed).all().item<bool>();
  }
  static bool close(const at::Tensor& found, const at::Tensor& expected, double units) {
    return close(found, expected, at::full({1}, units, at::kDouble));
  }

  static at::Tensor signs_of(std::int64_t m, bool transposed) {
    return hadamard_signs(m, transposed, at::TensorOptions().dtype(kCompute));
  }

  at::Generator generator_ = at::detail::createCPUGenerator(9);
};
using StoredTypes = testing::Types<float, double, Bf16, Half>;
TYPED_TEST_SUITE(ThreadBlock, StoredTypes);

// The sums run in another order than the CPU's; all else is the same.
TYPED_TEST(ThreadBlock, GradientIsTheCpus) {
  using T = TypeParam;
  const at::AutoGradMode recording(true);
  for (const std::int64_t group : {1, 2, 16, 17, 100, 256, 257, 1000, 4096, 5001})
    for (const bool symmetric : {false, true})
      for (const bool weight : {false, true}) {
        const std::int64_t at_once = kRowThreads / team_size(group), groups = 2 * at_once + 1;
        const QuantSpec spec{3, group, symmetric, 0.9};
        const at::Tensor x = this->random({1, groups * group}), by = this->random(x.sizes());
        const at::Tensor leaf = x.clone().set_requires_grad(true);
        (weight ? quantize_weight_straight_through(leaf, spec, "x")
                : fake_quantize_straight_through(leaf, spec, "x"))
            .backward(by);

        const QuantizerParams params{!symmetric ? Scheme::asymmetric
                                     : weight   ? Scheme::symmetric_weight
                                                : Scheme::symmetric_activation,
                                     3, 0.9, false};
        at::Tensor found = this->unwritten(x);
        GradientShared<Compute<T>> shared;
        const ShuffledBlock block(kRowThreads);
        for (std::int64_t g = 0; g < groups; g += at_once)
          gradient_of_groups(block, this->data(x) + g * group, this->data(by) + g * group,
                             this->output(found) + g * group, std::min(at_once, groups - g), group,
                             params, shared);
        const at::Tensor sizes = by.to(at::kDouble).abs().view({groups, group}).sum(-1, true);
        EXPECT_TRUE(
            this->close(found.view({groups, group}), leaf.grad().view({groups, group}), 8 * sizes))
            << "group " << group << ", symmetric " << symmetric << ", weight " << weight;
      }
}

TYPED_TEST(ThreadBlock, HadamardIsTheTransform) {
  using T = TypeParam;
  using C = Compute<T>;
  constexpr double kUntouched = 12345;
  for (const std::int64_t n :
       {1,   2,   4,   8,   12,  14,  15,  16,   28,   32,   36,   48,   64,    96,   128,
        256, 300, 448, 512, 576, 896, 960, 1024, 2048, 4096, 8192, 8960, 14336, 16384})
    for (const std::int64_t inner : {1, 3, 16, 80})
      for (const bool transposed : {false, true}) {
        if (n * inner > 16384) continue;
        const HadamardOrder order = hadamard_order(n);
        const HadamardPlan plan = hadamard_plan(order, inner);
        const std::int64_t segment = plan.m * plan.width, tile = plan.segments * segment;
        // Whole tiles and a part of one.
        const std::int64_t rows = plan.segments == 1 ? 2 : plan.segments + 3;
        const at::Tensor x = this->random({rows, n * inner});
        const at::Tensor signs = this->signs_of(order.m, transposed);
        std::vector<C> buffer(static_cast<std::size_t>(shared_values(plan)) + 64,
                              static_cast<C>(kUntouched));
        at::Tensor found = this->unwritten(x);
        const ShuffledBlock block(plan.threads);
        for (std::int64_t start = 0; start < x.numel(); start += tile)
          hadamard_tile(block, plan, this->data(x) + start, this->output(found) + start,
                        static_cast<int>(std::min(tile, x.numel() - start)),
                        this->template data<C>(signs), buffer.data());
        const at::Tensor expected = hadamard_transform(x.to(at::kDouble), inner, transposed);
        EXPECT_TRUE(this->close(found, expected, 64)) << n << " x " << inner << ", " << transposed;
        for (std::size_t i = buffer.size() - 64; i < buffer.size(); ++i)
          ASSERT_EQ(buffer[i], static_cast<C>(kUntouched)) << n << " x " << inner;
      }
}

TYPED_TEST(ThreadBlock, RmsNormIsTheFormula) {
  using T = TypeParam;
  const c10::InferenceMode inference;
  for (const std::int64_t columns : {1, 15, 64, 100, 128, 576, 4096, 5001}) {
    const std::int64_t at_once = kRowThreads / team_size(columns), rows = at_once + 1;
    const at::Tensor x = this->random({rows, columns}), weight = this->random({columns});
    at::Tensor found = this->unwritten(x);
    Compute<T> squares[kRowThreads];
    const ShuffledBlock block(kRowThreads);
    for (std::int64_t row = 0; row < rows; row += at_once)
      rms_norm_of_rows(block, this->data(x) + row * columns, this->data(weight),
                       this->output(found) + row * columns, rows - row, columns,
                       static_cast<Compute<T>>(1e-3), squares);
    const at::Tensor expected =
        rms_norm(x.to(at::kDouble), weight.to(at::kDouble), 1e-3);  // one more rounding in T
    EXPECT_TRUE(this->close(found, expected,
                            expected.abs() * Stored<T>::kStep / Stored<Compute<T>>::kStep * 4))
        << columns;
  }
}

TYPED_TEST(ThreadBlock, SwigluIsTheFormula) {
  const c10::InferenceMode inference;
  for (const std::int64_t n : {1, 255, 2048}) {
    const at::Tensor gate = this->random({n}) * 4, up = this->random({n});
    at::Tensor found = this->unwritten(gate);
    swiglu_of(ShuffledBlock(kRowThreads), this->data(gate), this->data(up), this->output(found),
              static_cast<int>(n));
    const at::Tensor g = gate.to(at::kDouble), expected = g * g.sigmoid() * up.to(at::kDouble);
    EXPECT_TRUE(this->close(
        found, expected,
        expected.abs() * Stored<TypeParam>::kStep / Stored<Compute<TypeParam>>::kStep * 4))
        << n;
  }
}

TYPED_TEST(ThreadBlock, RotationHasTheBitsOfTheCpu) {
  using C = Compute<TypeParam>;
  const c10::InferenceMode inference;
  for (const std::int64_t half : {1, 5, 32, 64}) {
    const std::int64_t heads = 7, tokens = 3;
    const at::Tensor x = this->random({1, tokens, heads, 2 * half}).transpose(1, 2);
    const at::Tensor angles = at::randn({tokens, half}, at::kDouble).to(this->kCompute);
    const at::Tensor cos = angles.cos(), sin = angles.sin();
    at::Tensor found = this->unwritten(x);
    for (std::int64_t token = 0; token < tokens; ++token)
      rotate_token(ShuffledBlock(kRowThreads), this->data(x) + token * x.stride(2),
                   this->template data<C>(cos) + token * half,
                   this->template data<C>(sin) + token * half,
                   this->output(found) + token * x.stride(2), static_cast<int>(heads), x.stride(1),
                   static_cast<int>(half));
    EXPECT_TRUE(at::equal(found, rotate_halves(x, cos, sin))) << half;
  }
}

TYPED_TEST(ThreadBlock, RowStepsAreOneAfterTheOther) {
  using T = TypeParam;
  using C = Compute<T>;
  const c10::InferenceMode inference;
  for (const auto& [features, inner, group] : std::vector<std::array<std::int64_t, 3>>{
           {16, 1, 0}, {48, 16, 16}, {576, 1, 64}, {1024, 64, 0}, {5120, 1, 128}, {8960, 1, 0}}) {
    SCOPED_TRACE(testing::Message() << features << ", " << inner << ", " << group);
    const QuantSpec spec{4, group, false, 0.9};
    const HadamardOrder order = hadamard_order(features / inner);
    RowPlan plan = {};
    plan.mixing = hadamard_plan(order, inner);
    plan.threads = plan.mixing.threads;
    plan.params = {Scheme::asymmetric, spec.bits, spec.clip, false};
    plan.group = group == 0 ? features : group;
    const at::Tensor signs = this->signs_of(order.m, false);
    std::vector<C> buffer(static_cast<std::size_t>(shared_values(plan.mixing)));
    BlockExtremes<C> shared;
    auto changed = [&](const at::Tensor& x, bool hadamard, bool quantize, bool finite = true) {
      at::Tensor y = x.clone();
      plan.hadamard = hadamard;
      plan.quantize = quantize;
      std::int32_t not_finite = 0;
      change_rows(ShuffledBlock(plan.threads), plan, this->output(y), y.numel(),
                  this->template data<C>(signs), buffer.data(), shared, &not_finite);
      EXPECT_EQ(not_finite, finite ? 0 : 1);
      return y;
    };
    // More than a tile, and than a block's teams take at once.
    at::Tensor x = this->random({features < 1000 ? 303 : 5, features});
    const at::Tensor mixed = changed(x, true, false);
    EXPECT_TRUE(this->close(mixed, hadamard_transform(x.to(at::kDouble), inner), 64));
    EXPECT_TRUE(at::equal(changed(x, false, true), fake_quantize(x, spec, "x")));
    EXPECT_TRUE(at::equal(changed(x, true, true), fake_quantize(mixed, spec, "x")));
    x[3][7] = std::numeric_limits<double>::infinity();
    changed(x, false, true, false);
    changed(x, true, true, false);
  }
}

// Rows of less than a tile, and of more; subsets that no thread, some or all have a value of.
TYPED_TEST(ThreadBlock, DivergencesAreTheDefinition) {
  using T = TypeParam;
  for (const std::int64_t vocabulary : {1, 40, 1025, 9001})
    for (const std::int64_t k : {1, 7, 1500, 0})
      for (const bool renormalise : {false, true}) {
        if (k > vocabulary) continue;
        const std::int64_t rows = 2;
        auto given = test::DivergenceCase::random(this->kDtype, rows, vocabulary, k, k, 1);
        at::Tensor found = this->unwritten(given.logits);
        at::Tensor values = at::full({rows, 2}, NAN, at::kDouble);
        const Divergences d = test::arguments_of(given, renormalise);
        const auto shared = std::make_unique<DivergenceShared<Compute<T>>>();
        for (std::int64_t row = 0; row < rows; ++row)
          divergences_of_row(ShuffledBlock(kMostThreads), this->data(given.logits), d,
                             this->output(found), values.mutable_data_ptr<double>(), row, *shared);
        EXPECT_TRUE(test::is_reference(given, renormalise, found, values.sum(0)))
            << k << " of " << vocabulary << ", " << renormalise;
      }
}

/// A part of a weight in GPTQ's hands: two groups' grids, more columns than are quantized.
template <class C>
struct GptqPart {
  static constexpr at::ScalarType kDtype = Stored<C>::kDtype;
  at::Tensor rest, codes, errors, upper, scales, zeros;
  GptqColumns<C> columns = {};

  GptqPart(std::int64_t rows, std::int64_t count, std::int64_t updated, bool symmetric) {
    at::Generator generator = at::detail::createCPUGenerator(11);
    auto random = [&](std::int64_t n, std::int64_t m) {
      return at::randn({n, m}, generator, at::kDouble);
    };
    auto stored = [](const at::Tensor& x) { return x.to(kDtype).contiguous(); };
    rest = stored(random(updated, rows));
    codes = at::full({count, rows}, NAN, kDtype);
    errors = codes.clone();
    upper = stored(0.2 * random(updated, updated + 3));
    upper.diagonal().copy_(random(1, updated)[0].abs() + 0.5);
    scales = stored(random(2, rows).abs() * 0.2 + 0.01);
    zeros = stored(random(2, rows).abs().mul(4).round());
    columns.rows = rows;
    columns.count = count;
    columns.updated = updated;
    columns.rest = rest.mutable_data_ptr<C>();
    columns.codes = codes.mutable_data_ptr<C>();
    columns.errors = errors.mutable_data_ptr<C>();
    columns.upper = upper.const_data_ptr<C>();
    columns.upper_stride = upper.size(1);
    columns.scales = scales.const_data_ptr<C>();
    columns.zeros = symmetric ? nullptr : zeros.const_data_ptr<C>();
    columns.lowest = static_cast<C>(symmetric ? -8 : 0);
    columns.highest = columns.lowest + C(15);
    for (std::int64_t j = 0; j < count; ++j) columns.group[j] = j < count / 2 ? 1 : 0;
  }

  void by_blocks(int threads) {
    std::vector<C> memory(static_cast<std::size_t>(kGptqColumns * threads));
    for (std::int64_t row = 0; row < columns.rows; row += threads)
      gptq_of_rows(ShuffledBlock(threads), columns, row, memory.data());
  }
  void expect_same(const GptqPart& other, const std::string& what) const {
    EXPECT_TRUE(at::equal(codes, other.codes)) << what;
    EXPECT_TRUE(at::equal(errors, other.errors)) << what;
    EXPECT_TRUE(at::equal(rest.slice(0, columns.count), other.rest.slice(0, columns.count)))
        << what;
  }
};

TEST(GptqBlock, HasTheBitsOfTheLanes) {
  for (const std::int64_t rows : {1, 33, 70})
    for (const auto& [count, updated] :
         std::vector<std::array<std::int64_t, 2>>{{1, 1}, {20, 57}, {128, 128}})
      for (const bool symmetric : {false, true}) {
        const std::string what = fmt::format("{} rows, {} of {} columns", rows, count, updated);
        GptqPart<float> block(rows, count, updated, symmetric);
        block.by_blocks(32);
        for (const CpuKernels* kernels : supported_cpu_kernels()) {
          GptqPart<float> lanes(rows, count, updated, symmetric);
          kernels->gptq_columns(lanes.columns, 0, rows);
          block.expect_same(lanes, what + ", " + kernels->name);
        }
        // float64 on the CPU has the same form, a row at a time: gptq_test.cc has it beside the
        // formula.
        GptqPart<double> wide(rows, count, updated, symmetric);
        GptqPart<double> alone(rows, count, updated, symmetric);
        wide.by_blocks(32);
        alone.by_blocks(1);
        wide.expect_same(alone, what);
      }
}

TYPED_TEST(ThreadBlock, NanStaysNan) {
  for (const std::uint32_t bits : {0x7fc00000u, 0x7fffffffu, 0xffffffffu})
    EXPECT_TRUE(std::isnan(
        to_compute(cast_to<TypeParam>(static_cast<Compute<TypeParam>>(float_of(bits))))));
}

}  // namespace
}  // namespace harness::kernels
