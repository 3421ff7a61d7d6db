// Every implementation against the plain reference, bit for bit, on random shapes and nasty values.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "harness/kernels/cpu_kernels.h"

namespace harness::kernels {
namespace {

constexpr int kTrials = 400;
constexpr Scheme kSchemes[] = {Scheme::asymmetric, Scheme::symmetric_weight,
                               Scheme::symmetric_activation};

struct Case {
  std::int64_t groups, group;
  QuantizerParams params;
  std::vector<float> values;
};

/// Values of one kind a case: normal, on ties, tiny, huge, subnormal, of mixed magnitude, sparse,
/// one-sided.
Case random_case(std::mt19937& random, int largest_group = 300) {
  auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  auto uniform = [&] { return static_cast<float>(random() % 2000001u) / 1e6f - 1.0f; };
  Case result;
  result.group = below(4) == 0 ? 1 + below(17) : 1 + below(largest_group);
  result.groups = 1 + below(4);
  result.params = {kSchemes[below(3)], 2 + below(7), below(2) ? 1.0 : 0.95, below(4) == 0};
  const int kind = below(8);
  for (std::int64_t i = 0; i < result.groups * result.group; ++i) {
    float value = uniform();
    switch (kind) {
      case 1:
        value = static_cast<float>(below(31) - 15) * 0.5f;
        break;
      case 2:
        value *= 1e-7f;
        break;
      case 3:
        value *= 3.4e38f;
        break;
      case 4:
        value *= 1e-39f;
        break;
      case 5:
        value = std::ldexp(value, below(240) - 120);
        break;
      case 6:
        value = below(10) ? 0.0f : value;
        break;
      case 7:
        value = std::abs(value) * 100.0f;
        break;
    }
    result.values.push_back(below(50) ? value : -0.0f);
  }
  return result;
}

template <class T>
std::vector<T> typed(const std::vector<float>& values) {
  std::vector<T> result;
  for (float value : values) {
    const float limit = static_cast<float>(largest_finite<T>());
    result.push_back(from_compute<T>(std::clamp(value, -limit, limit)));
  }
  return result;
}

template <class T>
void expect_same_bits(DType dtype) {
  std::mt19937 random(11);
  for (int trial = 0; trial < kTrials; ++trial) {
    const Case c = random_case(random);
    const std::vector<T> x = typed<T>(c.values);
    const std::size_t groups = static_cast<std::size_t>(c.groups);
    std::vector<T> expected(x.size());
    std::vector<std::uint8_t> expected_codes(x.size());
    std::vector<Compute<T>> expected_scales(groups), expected_zeros(groups);
    ASSERT_TRUE(portable_kernels().fake_quantize(dtype, x.data(), expected.data(), c.groups,
                                                 c.group, c.params));
    ASSERT_TRUE(portable_kernels().quantize(dtype, x.data(), expected_codes.data(),
                                            expected_scales.data(), expected_zeros.data(), c.groups,
                                            c.group, c.params));
    for (const T& value : expected) ASSERT_TRUE(std::isfinite(to_compute(value)));
    for (const CpuKernels* kernels : supported_cpu_kernels()) {
      SCOPED_TRACE(std::string(kernels->name) + ", trial " + std::to_string(trial));
      std::vector<T> y(x.size());
      ASSERT_TRUE(kernels->fake_quantize(dtype, x.data(), y.data(), c.groups, c.group, c.params));
      ASSERT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(T)), 0);
      std::vector<std::uint8_t> codes(x.size());
      std::vector<Compute<T>> scales(groups), zeros(groups);
      ASSERT_TRUE(kernels->quantize(dtype, x.data(), codes.data(), scales.data(), zeros.data(),
                                    c.groups, c.group, c.params));
      ASSERT_EQ(codes, expected_codes);
      ASSERT_EQ(std::memcmp(scales.data(), expected_scales.data(), groups * sizeof(scales[0])), 0);
      ASSERT_EQ(std::memcmp(zeros.data(), expected_zeros.data(), groups * sizeof(zeros[0])), 0);
    }
  }
}

TEST(QuantizeSameBits, Float32) { expect_same_bits<float>(DType::f32); }
TEST(QuantizeSameBits, Float64) { expect_same_bits<double>(DType::f64); }
TEST(QuantizeSameBits, Bfloat16) { expect_same_bits<Bf16>(DType::bf16); }
TEST(QuantizeSameBits, Float16) { expect_same_bits<Half>(DType::f16); }

// So many that a call writes them past the caches, from an aligned and from another address.
TEST(QuantizeSameBits, ManyValues) {
  const std::int64_t group = 1024, groups = 2048;
  const QuantizerParams params{Scheme::symmetric_activation, 4, 1.0, false};
  std::mt19937 random(15);
  std::vector<float> wide(static_cast<std::size_t>(groups * group));
  for (float& value : wide) value = static_cast<float>(random() % 2000001u) / 1e6f - 1.0f;
  const auto expect_same = [&]<class T>(DType dtype, T) {
    const std::vector<T> x = typed<T>(wide);
    std::vector<T> expected(x.size()), found(x.size() + 32);
    portable_kernels().fake_quantize(dtype, x.data(), expected.data(), groups, group, params);
    const auto address = reinterpret_cast<std::uintptr_t>(found.data());
    const std::size_t aligned = (64 - address % 64) % 64 / sizeof(T);
    for (const CpuKernels* kernels : supported_cpu_kernels()) {
      for (const std::size_t offset : {aligned, aligned + 1}) {
        SCOPED_TRACE(kernels->name);
        kernels->fake_quantize(dtype, x.data(), found.data() + offset, groups, group, params);
        ASSERT_EQ(std::memcmp(found.data() + offset, expected.data(), x.size() * sizeof(T)), 0);
      }
    }
  };
  expect_same(DType::f32, 0.0f);
  expect_same(DType::bf16, Bf16{});
  expect_same(DType::f16, Half{});
}

// The search leaves out most ratios where their squared errors are enough, the reference none.
TEST(QuantizeSameBits, MseClippingOfLongGroups) {
  std::mt19937 random(14);
  for (int trial = 0; trial < 300; ++trial) {
    Case c = random_case(random, 4000);
    c.params.mse_clip = true;
    if (trial % 3 == 0)  // a heavy tail
      for (float& value : c.values) value = value * value * value / (1.001f - std::abs(value));
    const auto groups = static_cast<std::size_t>(c.groups);
    std::vector<std::uint8_t> codes(c.values.size()), expected_codes(codes);
    std::vector<float> scales(groups), zeros(groups), expected_scales(groups),
        expected_zeros(groups);
    portable_kernels().quantize(DType::f32, c.values.data(), expected_codes.data(),
                                expected_scales.data(), expected_zeros.data(), c.groups, c.group,
                                c.params);
    for (const CpuKernels* kernels : supported_cpu_kernels()) {
      SCOPED_TRACE(std::string(kernels->name) + ", trial " + std::to_string(trial));
      kernels->quantize(DType::f32, c.values.data(), codes.data(), scales.data(), zeros.data(),
                        c.groups, c.group, c.params);
      ASSERT_EQ(scales, expected_scales);
      ASSERT_EQ(zeros, expected_zeros);
      ASSERT_EQ(codes, expected_codes);
    }
  }
}

template <class T>
void expect_same_gradients(DType dtype) {
  std::mt19937 random(12);
  for (int trial = 0; trial < kTrials; ++trial) {
    const Case c = random_case(random);
    const std::vector<T> x = typed<T>(c.values);
    std::vector<float> incoming;
    for (std::size_t i = 0; i < x.size(); ++i)
      incoming.push_back(static_cast<float>(random() % 2001u) / 1e3f - 1.0f);
    const std::vector<T> gradient = typed<T>(incoming);
    std::vector<T> expected(x.size());
    portable_kernels().straight_through_gradient(dtype, x.data(), gradient.data(), expected.data(),
                                                 c.groups, c.group, c.params);
    for (const CpuKernels* kernels : supported_cpu_kernels()) {
      SCOPED_TRACE(std::string(kernels->name) + ", trial " + std::to_string(trial));
      std::vector<T> found(x.size());
      kernels->straight_through_gradient(dtype, x.data(), gradient.data(), found.data(), c.groups,
                                         c.group, c.params);
      ASSERT_EQ(std::memcmp(found.data(), expected.data(), found.size() * sizeof(T)), 0);
    }
  }
}

TEST(StraightThroughSameBits, Float32) { expect_same_gradients<float>(DType::f32); }
TEST(StraightThroughSameBits, Bfloat16) { expect_same_gradients<Bf16>(DType::bf16); }

// Which rows a call gets does not matter either: threads share them out.
TEST(GptqSameBits, EveryImplementationAndEveryShareOfTheRows) {
  std::mt19937 random(13);
  auto uniform = [&] { return static_cast<float>(random() % 2000001u) / 1e6f - 1.0f; };
  for (int trial = 0; trial < 40; ++trial) {
    const std::int64_t rows = 1 + static_cast<std::int64_t>(random() % 50u);
    const std::int64_t updated = 1 + static_cast<std::int64_t>(random() % kGptqColumns);
    const std::int64_t count = 1 + static_cast<std::int64_t>(random() % unsigned(updated));
    const auto values = static_cast<std::size_t>(updated * rows);
    std::vector<float> rest(values), upper(static_cast<std::size_t>(updated * updated)),
        scale(static_cast<std::size_t>(2 * rows)), zero(scale.size());  // of two groups
    for (float& value : rest) value = uniform();
    for (float& value : upper) value = uniform();
    for (std::int64_t j = 0; j < updated; ++j)
      upper[static_cast<std::size_t>(j * updated + j)] = 1.5f + uniform();
    for (float& value : scale) value = 0.2f + 0.1f * uniform();
    for (float& value : zero) value = static_cast<float>(random() % 16u);
    auto run = [&](const CpuKernels& kernels, std::int64_t split) {
      std::vector<float> all = rest;
      all.resize(3 * values);  // rest, codes, errors
      GptqColumns<float> part{.rows = rows,
                              .count = count,
                              .updated = updated,
                              .rest = all.data(),
                              .codes = all.data() + values,
                              .errors = all.data() + 2 * values,
                              .upper = upper.data(),
                              .upper_stride = updated,
                              .scales = scale.data(),
                              .zeros = trial % 2 ? zero.data() : nullptr,
                              .group = {},
                              .lowest = trial % 2 ? 0.0f : -8.0f,
                              .highest = trial % 2 ? 15.0f : 7.0f};
      for (std::int64_t j = 0; j < count; ++j) part.group[j] = j % 3 == 1;
      kernels.gptq_columns(part, 0, split);
      kernels.gptq_columns(part, split, rows);
      return all;
    };
    const std::vector<float> expected = run(portable_kernels(), rows);
    for (const CpuKernels* kernels : supported_cpu_kernels())
      for (std::int64_t split : {rows, rows / 3}) {
        const std::vector<float> found = run(*kernels, split);
        ASSERT_EQ(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)), 0)
            << kernels->name << ", trial " << trial;
      }
  }
}

TEST(QuantizeSameBits, EveryImplementationFindsWhatIsNotFinite) {
  for (const CpuKernels* kernels : supported_cpu_kernels())
    for (std::size_t place : {0u, 7u, 16u, 31u, 32u, 40u})
      for (float bad : {INFINITY, -INFINITY, NAN}) {
        std::vector<float> x(41, 1.0f), y(41);
        x[place] = bad;
        const QuantizerParams params{Scheme::asymmetric, 4, 1.0, false};
        EXPECT_FALSE(kernels->fake_quantize(DType::f32, x.data(), y.data(), 1, 41, params))
            << kernels->name << ", " << bad << " at " << place;
      }
}

TEST(QuantizeSameBits, WorksInPlace) {
  for (const CpuKernels* kernels : supported_cpu_kernels()) {
    std::vector<float> x = {0.0f, 0.6f, 1.4f, 15.0f}, y(4);
    const QuantizerParams params{Scheme::asymmetric, 4, 1.0, false};
    ASSERT_TRUE(kernels->fake_quantize(DType::f32, x.data(), y.data(), 1, 4, params));
    ASSERT_TRUE(kernels->fake_quantize(DType::f32, x.data(), x.data(), 1, 4, params));
    EXPECT_EQ(x, y);
  }
}

TEST(FloatTypes, HalfConversionsAreExactOnEveryBitPattern) {
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const Half half{static_cast<std::uint16_t>(bits)};
    const float wide = to_compute(half);
    if (!std::isfinite(wide)) continue;
    const int exponent = static_cast<int>(bits >> 10 & 31u);
    const double mantissa = static_cast<double>(bits & 0x3ffu) + (exponent ? 1024 : 0);
    const double expected = std::ldexp(mantissa, std::max(exponent, 1) - 25);
    ASSERT_EQ(static_cast<double>(std::abs(wide)), expected) << bits;
    ASSERT_EQ(from_compute<Half>(wide).bits, half.bits) << bits;
  }
}

TEST(FloatTypes, CastsRoundHalfToEven) {
  EXPECT_EQ(to_compute(from_compute<Bf16>(1.0f + 0x1p-8f)), 1.0f);
  EXPECT_EQ(to_compute(from_compute<Bf16>(1.0f + 0x1.8p-7f)), 1.0f + 0x1p-6f);
  EXPECT_EQ(to_compute(from_compute<Half>(1.0f + 0x1p-11f)), 1.0f);
  EXPECT_EQ(to_compute(from_compute<Half>(1.0f + 0x1.8p-10f)), 1.0f + 0x1p-9f);
  EXPECT_EQ(to_compute(from_compute<Half>(0x1p-25f)), 0.0f);
  EXPECT_EQ(to_compute(from_compute<Half>(0x1.8p-24f)), 0x1p-23f);
}

TEST(Power24, IsWithin1e6OfTheTruth) {
  for (float error = 1e-14f; error < 8.0f; error *= 1.0009f)
    ASSERT_NEAR(power_2_4(error) / std::pow(static_cast<double>(error), 2.4), 1.0, 1e-6) << error;
  for (double error = 1e-14; error < 8.0; error *= 1.0009)
    ASSERT_NEAR(power_2_4(error) / std::pow(error, 2.4), 1.0, 1e-12) << error;
  EXPECT_EQ(power_2_4(0.0f), 0.0f);
}

}  // namespace
}  // namespace harness::kernels
