#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "harness/plugin/metrics.h"
#include "harness/plugin/plugins.h"
#include "harness/plugin/task_eval.h"

namespace harness {

std::vector<TaskText> safetybench_task_files();

namespace {

struct SafetybenchOptions : TaskOptions {
  SafetybenchOptions() { tasks = {"option-text"}; }
};

/// How many questions have each option as their answer.
using AnswerCounts = std::map<std::size_t, std::int64_t>;

/// The share of the option that is right most often.
Metric majority_of(const std::string& name, const AnswerCounts& counts) {
  std::int64_t all = 0, most = 0;
  for (const auto& [answer, count] : counts) {
    all += count;
    most = std::max(most, count);
  }
  return {name, static_cast<double>(most) / static_cast<double>(all), std::nullopt, all};
}

/// Accuracy on SafetyBench, by several protocols: README.md in this folder.
class Safetybench : public TaskEval {
 public:
  explicit Safetybench(SafetybenchOptions options)
      : TaskEval("safetybench", safetybench_task_files(), std::move(options)) {}

 protected:
  std::vector<Metric> metrics(const TaskSet& set,
                              const std::vector<TaskScores>& scores) const override {
    std::vector<Metric> result = TaskEval::metrics(set, scores);
    std::map<std::string, AnswerCounts> answers;
    for (const TaskItem& item : set.items)
      if (!item.category.empty()) ++answers[item.category][item.answer];
    if (answers.empty()) return result;  // a task of the user's own
    std::vector<Metric> accuracies, majorities;
    for (const auto& [category, counts] : answers) {
      const std::string prefix = fmt::format("{}/{}", set.task.name, category);
      for (const Metric& metric : result)
        if (metric.name == prefix + "/acc") accuracies.push_back(metric);
      majorities.push_back(majority_of(prefix + "/majority", counts));
    }
    result.push_back(mean_of_metrics(set.task.name + "/macro", accuracies));
    const auto questions = static_cast<std::int64_t>(set.items.size());
    double right = 0, macro = 0;
    for (const Metric& majority : majorities) {
      right += majority.value * static_cast<double>(majority.count);
      macro += majority.value / static_cast<double>(majorities.size());
    }
    result.push_back({set.task.name + "/majority", right / static_cast<double>(questions),
                      std::nullopt, questions});
    result.push_back({set.task.name + "/macro_majority", macro, std::nullopt, questions});
    result.insert(result.end(), majorities.begin(), majorities.end());
    return result;
  }
};

}  // namespace
}  // namespace harness

void register_safetybench(harness::Plugins& plugins) {
  plugins.add_eval<harness::Safetybench, harness::SafetybenchOptions>(
      "safetybench", "SafetyBench: multiple-choice questions about safety in seven categories.");
}
