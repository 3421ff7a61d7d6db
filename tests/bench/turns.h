#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <vector>

// For benchmarks that take turns at several things and report medians over the turns.

namespace harness {

/// How long `action` takes, whose result is not looked at.
template <class Action>
double seconds(Action&& action) {
  const auto start = std::chrono::steady_clock::now();
  benchmark::DoNotOptimize(action());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace harness
