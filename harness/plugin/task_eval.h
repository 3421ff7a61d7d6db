#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/config.h"
#include "harness/data/task_set.h"
#include "harness/plugin/eval.h"

namespace harness {

/// Options of every eval that measures tasks of task files.
struct TaskOptions {
  std::vector<std::string> tasks;
  std::vector<std::string> task_files;
  std::int64_t shots = 0;
  std::optional<std::int64_t> limit;
  std::string split = "auto";
  std::string bos = "auto";
  bool chat = false;

  template <class V>
  void visit(V&& v) {
    v("tasks", tasks, {.doc = "names of tasks and of groups of tasks"});
    v("task_files", task_files, {.doc = "further task files (.toml) of one's own"});
    v("shots", shots, {.doc = "examples in front of each question", .min = 0});
    v("limit", limit,
      {.doc = "of each task the first n items of one permutation that never changes", .min = 1});
    v("split", split, {.doc = "auto (the first of each task's files that is there), test, ..."});
    v("bos", bos,
      {.doc = "auto: as the tokenizer does; off: no BOS in front of a question",
       .choices = {"auto", "off"}});
    v("chat", chat, {.doc = "the question is a message in the model's chat format"});
  }
};

/// A task file that is part of the program: its path and its text.
struct TaskText {
  const char *name, *toml;
};

/// What a model says of one item.
struct TaskScores {
  std::vector<double> log_likelihoods;  // one an option
  bool greedy = false;                  // of a completion: greedy decoding gives it
  std::int64_t tokens = 0;              // of a completion
  std::int64_t dropped = 0;             // from the left of the context, of its longest option
};

/// One item's value of a metric that is a mean over items: acc, acc_norm, acc_bytes (argmax of the
/// log-likelihood, divided by the option's length in code points or in bytes of UTF-8: the first of
/// equal ones, never NaN; 1 where it is the answer), mc2 (probability of the true options among
/// all), or of a completion acc (greedy) and log_likelihood.
double item_value(const std::string& metric, const TaskSet& set, const TaskItem& item,
                  const TaskScores& scores);
/// The option that is chosen by acc, acc_norm or acc_bytes; -1 where all are NaN.
std::int64_t chosen_option(const std::string& metric, const TaskItem& item,
                           const TaskScores& scores);

/// An eval of tasks that task files describe. An eval of one's own derives from it, hands it the
/// task files that its CMakeLists.txt names, and may override metrics().
///
/// Metrics: "TASK/METRIC"; "TASK/CATEGORY/METRIC" for each category of the file and each group of
/// them; "GROUP/average" and, of several tasks, "average": the mean over tasks of acc_norm where a
/// task has it, else of its first metric. "TASK/truncated" counts items whose context was cut,
/// where there are any.
///
/// Items: "TASK/ID"; the score is that of the main metric. Detail: task; groups under which it was
/// asked for; category and category_groups; of a choice `choice` (by the main metric, -1: none),
/// `gold`, `options`, `log_likelihoods`, `characters` and `bytes` (lengths of the options); of mc2
/// `log_likelihoods` and `labels`; of a completion `log_likelihood`, `greedy` and `tokens`; `tags`
/// where the task has them; `truncated`, the tokens dropped, where there are any.
/// results/queries/task_metrics.sql computes the metrics from them.
class TaskEval : public Eval {
 public:
  /// @param name of the eval, with which protocol names begin
  TaskEval(std::string name, const std::vector<TaskText>& files, TaskOptions options);

  /// "zeroshot/arc_easy@validation+boolq@validation/0-shot/1", then "/no-bos", "/chat" and
  /// "/limit-N". A group stands under its name; its tasks' splits behind @, "+" between several.
  std::string protocol(const DataContext& data) const override;
  int version() const override { return 1; }
  EvalTraits traits() const override {
    return {.uses_chat = options_.chat, .needs_chat_template = options_.chat, .by_item = true};
  }
  void check(const DataContext& data, Problems& problems) const override;
  std::vector<DataUse> data(const DataContext& data) const override;
  /// Whether some task is a choice among options that are right or wrong.
  bool chooses(const DataContext& data) const override;
  std::vector<Metric> run(EvalContext& context) const override;

 protected:
  /// The metrics of one task.
  virtual std::vector<Metric> metrics(const TaskSet& set,
                                      const std::vector<TaskScores>& scores) const;

 private:
  /// A task that is asked for, and the groups under which it is.
  struct Wanted {
    const TaskDefinition* task;
    std::vector<std::string> groups;
  };
  struct Summary {
    std::string name, split, digest, source;
  };
  TaskSelection selection() const { return {options_.split, options_.shots, options_.limit}; }
  /// Tasks in the order in which they are asked for, each once.
  std::vector<Wanted> wanted(const DataContext& data) const;
  const std::vector<Summary>& summaries(const DataContext& data) const;

  std::string name_;
  TaskOptions options_;
  std::vector<TaskDefinition> known_;
  // Made when first asked for: of the user's files, and what was found for the tasks.
  mutable std::optional<std::vector<TaskDefinition>> own_;
  mutable std::map<std::string, std::vector<Summary>> found_;  // by data folder
};

}  // namespace harness
