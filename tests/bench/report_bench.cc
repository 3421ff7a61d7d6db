#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "harness/report/html_page.h"
#include "harness/report/main_table.h"
#include "harness/report/plot.h"
#include "harness/report/render.h"
#include "tests/report/example_experiment.h"

// report_bench DATABASE [RUNS [ITEMS]]: makes a database of so many runs (1,000) with so many items
// each (5,000: 5 evals of 1,000) where there is none, and says how long its table, plots and page
// take, and how much memory the process took at most.

namespace harness::test {
namespace {

constexpr int kMethods = 10, kTrainings = 10;  // the rest are values of a swept number

void make_database(const std::string& path, int runs, int items) {
  const auto store = ResultStore::open(path);
  ExampleExperiment experiment(*store, "large");
  const char* const evals[] = {"refusal", "over_refusal", "skill", "control", "ok_h"};
  for (int run = 0; run < runs; ++run) {
    const int method = run % kMethods, training = run / kMethods % kTrainings;
    const double alpha = run / (kMethods * kTrainings) * .1;
    const std::string label = method == 0 ? "16 bits" : fmt::format("M{} alpha={}", method, alpha);
    experiment.put(
        {label, fmt::format("pair:world/aligned@{}", training), method == 0 ? "none" : "w4a4kv4",
         method == 0 ? "" : fmt::format("m{}", method), run / (kMethods * kTrainings),
         fmt::format(
             R"({{"methods":[{{"alpha":{},"name":"m{}"}}],"format":{{"w":{{"bits":4}},"a":{{"bits":4}},)"
             R"("k":{{"bits":4}}}},"label":"{}","seed":{}}})",
             alpha, method, label, run)});
    experiment.measure("perplexity", "p/1",
                       {{"perplexity", 3 + .01 * method + .001 * training, .02, 256}});
    for (const char* eval : evals) {
      std::vector<double> scores;
      double sum = 0;
      for (int i = 0; i < items / 5; ++i) {
        scores.push_back((i * 7919 + run * 31) % 100 >= method);
        sum += scores.back();
      }
      experiment.measure(eval, std::string(eval) + "/1",
                         {{eval, sum / static_cast<double>(scores.size()), .005, items / 5}},
                         example_items(scores));
    }
  }
}

template <class Action>
void timed(const char* what, Action&& action) {
  const auto begin = std::chrono::steady_clock::now();
  const std::size_t bytes = action();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print("{:<10} {:6.2f} s  {:8.2f} MB written  {:6.0f} MB memory so far\n", what, seconds,
             static_cast<double>(bytes) / 1e6, static_cast<double>(usage.ru_maxrss) / 1e3);
  std::fflush(stdout);
}

}  // namespace
}  // namespace harness::test

int main(int argc, char** argv) {
  using namespace harness;
  if (argc < 2) {
    fmt::print(stderr, "report_bench DATABASE [RUNS [ITEMS]]\n");
    return 2;
  }
  const std::string path = argv[1];
  if (!std::filesystem::exists(path)) {
    test::make_database(path, argc > 2 ? std::atoi(argv[2]) : 1000,
                        argc > 3 ? std::atoi(argv[3]) : 5000);
    fmt::print("made {}: run again to measure\n", path);
    return 0;
  }
  const auto store = ResultStore::open_read_only(path);
  test::timed("table", [&] { return to_markdown(main_table(*store, "large")).size(); });
  test::timed("csv", [&] { return to_csv(main_table(*store, "large")).size(); });
  for (const PlotName& each : plot_names())
    test::timed(each.name.c_str(), [&] {
      const Plot plot = read_plot(*store, "large", each.name);
      return plot.panels.empty() ? 0 : gnuplot_script(plot, "svg", "x").size();
    });
  test::timed("page", [&] { return to_html_page(*store, "large").size(); });
}
