#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "harness/store/work_lock.h"
#include "tests/store/example_store.h"
#include "tests/support/support.h"

// What the engine itself costs beside the work on models.

namespace harness::test {
namespace {

std::vector<ItemRow> some_items(std::int64_t count) {
  std::vector<ItemRow> items;
  for (std::int64_t i = 0; i < count; ++i)
    items.push_back(
        {key_of(fmt::format("question-{}", i)).substr(0, 16), i, i % 3 == 0 ? 1.0 : 0.0,
         fmt::format("cluster-{}", i / 5),
         fmt::format(R"({{"choice":{},"log_likelihoods":[-{}.25,-3.5,-8.125,-2.0625]}})", i % 4,
                     i % 7)});
  return items;
}

/// One result with so many items, from the first row to the disk.
void store_items(benchmark::State& state) {
  const TemporaryFolder folder;
  const auto store = ResultStore::open(folder / "results.sqlite");
  const OneRun one(*store);
  const std::vector<ItemRow> items = some_items(state.range(0));
  AttemptOutcome outcome;
  outcome.wall_seconds = 1;  // of work: the disk is waited for
  for (auto _ : state)
    store_result(*store, one.run, one.stage, {{"accuracy", 0.5, 0.01, state.range(0)}}, items,
                 outcome);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(store_items)->Arg(0)->Arg(100)->Arg(10'000)->Unit(benchmark::kMillisecond)->UseRealTime();

void claim(benchmark::State& state) {
  const TemporaryFolder folder;
  const std::string key = key_of("a");
  for (auto _ : state) benchmark::DoNotOptimize(WorkLock::claim(folder / "results.sqlite", key));
}
BENCHMARK(claim)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace harness::test
