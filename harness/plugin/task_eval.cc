#include "harness/plugin/task_eval.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

#include "harness/core/error.h"
#include "harness/core/text.h"
#include "harness/data/template_filters.h"
#include "harness/plugin/choices.h"
#include "harness/plugin/metrics.h"
#include "harness/plugin/task_requests.h"

namespace harness {
namespace {

/// Items that are turned into tokens and scored at once, so that memory does not grow with a task.
constexpr std::size_t kItemsAtOnce = 2048;

/// Says how far a part of a longer list is.
class PartProgress : public Progress {
 public:
  PartProgress(Progress& whole, std::string what, double before, double share, double total)
      : whole_(whole), what_(std::move(what)), before_(before), share_(share), total_(total) {}
  void update(std::string_view, double done, double total) override {
    whole_.update(what_, before_ + share_ * done / total, total_);
  }

 private:
  Progress& whole_;
  std::string what_;
  double before_, share_, total_;
};

std::string item_id(const TaskSet& set, const TaskItem& item) {
  return fmt::format("{}/{}", set.task.name, item.id);
}

bool is_completion(const TaskDefinition& task) {
  return task.choices.is_null() && task.contexts.empty();
}

std::vector<TaskScores> score_items(EvalContext& context, TaskEncoder& encoder, const TaskSet& set,
                                    const std::string& what) {
  std::vector<TaskScores> result;
  for (std::size_t begin = 0; begin < set.items.size(); begin += kItemsAtOnce) {
    const std::size_t end = std::min(begin + kItemsAtOnce, set.items.size());
    std::vector<ScoreRequest> requests;
    for (std::size_t i = begin; i < end; ++i) {
      TaskScores& scores = result.emplace_back();
      for (std::size_t option = 0; option < set.items[i].options(); ++option) {
        TaskRequest encoded = encoder.encode(set, set.items[i], option);
        scores.dropped = std::max(scores.dropped, encoded.dropped);
        requests.push_back(std::move(encoded.request));
      }
    }
    PartProgress progress(context.progress, what, static_cast<double>(begin),
                          static_cast<double>(end - begin), static_cast<double>(set.items.size()));
    const std::vector<Score> scored = context.model.score(requests, progress);
    auto next = scored.begin();
    for (std::size_t i = begin; i < end; ++i)
      for (std::size_t option = 0; option < set.items[i].options(); ++option, ++next) {
        result[i].log_likelihoods.push_back(next->log_likelihood);
        result[i].greedy = next->greedy;
        result[i].tokens = static_cast<std::int64_t>(next->tokens.size());
      }
  }
  return result;
}

/// A number as JSON can have it: null where it is not finite.
Value finite(double value) { return std::isfinite(value) ? Value(value) : Value(); }

Value texts_of(const std::vector<std::string>& texts) {
  Value::Array array;
  for (const std::string& text : texts) array.emplace_back(text);
  return Value(std::move(array));
}

/// The groups of categories that hold a category.
std::vector<std::string> groups_of(const TaskDefinition& task, const std::string& category) {
  std::vector<std::string> groups;
  for (const auto& [group, members] : task.categories.as_table())
    for (const Value& member : members.as_array())
      if (member.as_string() == category) groups.push_back(group);
  return groups;
}

Value::Table choice_detail(const TaskSet& set, const TaskItem& item, const TaskScores& scores) {
  Value::Array log_likelihoods, characters, bytes, labels;
  for (std::size_t i = 0; i < item.options(); ++i) {
    log_likelihoods.push_back(finite(scores.log_likelihoods[i]));
    characters.emplace_back(static_cast<std::int64_t>(code_points(item.continuation(i))));
    bytes.emplace_back(static_cast<std::int64_t>(item.continuation(i).size()));
  }
  if (set.task.has("mc2")) {
    for (const bool label : item.labels) labels.emplace_back(label ? 1 : 0);
    return {{"log_likelihoods", std::move(log_likelihoods)}, {"labels", std::move(labels)}};
  }
  return {{"choice", chosen_option(set.task.main_metric(), item, scores)},
          {"gold", static_cast<std::int64_t>(item.answer)},
          {"options", static_cast<std::int64_t>(item.options())},
          {"log_likelihoods", std::move(log_likelihoods)},
          {"characters", std::move(characters)},
          {"bytes", std::move(bytes)}};
}

Value::Table detail_of(const TaskSet& set, const std::vector<std::string>& groups,
                       const TaskItem& item, const TaskScores& scores) {
  Value::Table detail{{"task", set.task.name}};
  if (!groups.empty()) detail.emplace_back("groups", texts_of(groups));
  if (!item.category.empty()) {
    detail.emplace_back("category", item.category);
    if (const auto of_category = groups_of(set.task, item.category); !of_category.empty())
      detail.emplace_back("category_groups", texts_of(of_category));
  }
  const Value::Table measured =
      is_completion(set.task)
          ? Value::Table{{"log_likelihood", finite(scores.log_likelihoods.front())},
                         {"greedy", scores.greedy},
                         {"tokens", scores.tokens}}
          : choice_detail(set, item, scores);
  detail.insert(detail.end(), measured.begin(), measured.end());
  if (!item.tags.empty()) detail.emplace_back("tags", texts_of(item.tags));
  if (scores.dropped > 0) detail.emplace_back("truncated", scores.dropped);
  return detail;
}

/// The mean over some of a task's items.
Metric metric_over(const std::string& name, const std::string& metric, const TaskSet& set,
                   const std::vector<TaskScores>& scores, const std::vector<std::size_t>& places) {
  const bool perplexity = metric == "perplexity";
  std::vector<double> values;
  std::vector<std::string> clusters;
  for (const std::size_t place : places) {
    const TaskItem& item = set.items[place];
    values.push_back(item_value(perplexity ? "log_likelihood" : metric, set, item, scores[place]));
    clusters.push_back(item.cluster.empty() ? std::to_string(place) : item.cluster);
  }
  Metric result = mean_metric(name, values, clusters);
  if (perplexity) {
    result.value = std::exp(-result.value);
    if (result.standard_error) *result.standard_error *= result.value;  // delta method
  }
  return result;
}

std::vector<std::size_t> all_places(const TaskSet& set) {
  std::vector<std::size_t> places(set.items.size());
  std::iota(places.begin(), places.end(), std::size_t{0});
  return places;
}

/// Places of a task's items by category and by group of categories, in the file's order of groups.
std::vector<std::pair<std::string, std::vector<std::size_t>>> places_by_category(
    const TaskSet& set) {
  std::map<std::string, std::vector<std::size_t>> of_category;
  for (std::size_t i = 0; i < set.items.size(); ++i)
    if (!set.items[i].category.empty()) of_category[set.items[i].category].push_back(i);
  std::vector<std::pair<std::string, std::vector<std::size_t>>> result;
  for (const auto& [group, members] : set.task.categories.as_table()) {
    std::vector<std::size_t> all;
    for (const Value& member : members.as_array())
      if (const auto found = of_category.find(member.as_string()); found != of_category.end())
        all.insert(all.end(), found->second.begin(), found->second.end());
    if (!all.empty()) result.emplace_back(group, std::move(all));
  }
  result.insert(result.end(), of_category.begin(), of_category.end());
  return result;
}

}  // namespace

std::int64_t chosen_option(const std::string& metric, const TaskItem& item,
                           const TaskScores& scores) {
  std::vector<double> values = scores.log_likelihoods;
  if (metric == "acc_norm")
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] /= static_cast<double>(code_points(item.continuation(i)));
  if (metric == "acc_bytes")
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] /= static_cast<double>(item.continuation(i).size());
  const std::size_t best = best_option(values);
  return best < values.size() ? static_cast<std::int64_t>(best) : -1;
}

double item_value(const std::string& metric, const TaskSet& set, const TaskItem& item,
                  const TaskScores& scores) {
  if (metric == "log_likelihood") return scores.log_likelihoods.front();
  if (metric == "mc2") {
    const double high =
        *std::max_element(scores.log_likelihoods.begin(), scores.log_likelihoods.end());
    double all = 0, right = 0;
    for (std::size_t i = 0; i < item.options(); ++i) {
      const double p = std::exp(scores.log_likelihoods[i] - high);
      all += p;
      if (item.labels[i]) right += p;
    }
    return right / all;
  }
  if (is_completion(set.task)) return scores.greedy ? 1 : 0;
  return chosen_option(metric, item, scores) == static_cast<std::int64_t>(item.answer) ? 1 : 0;
}

TaskEval::TaskEval(std::string name, const std::vector<TaskText>& files, TaskOptions options)
    : name_(std::move(name)), options_(std::move(options)) {
  for (const TaskText& file : files) known_.push_back(read_task(file.toml, file.name));
}

std::vector<TaskEval::Wanted> TaskEval::wanted(const DataContext& data) const {
  if (!own_) {
    std::vector<TaskDefinition> own;
    for (const std::string& path : options_.task_files)
      own.push_back(read_task_file(path, data.data_dir));
    own_ = std::move(own);
  }
  std::vector<const TaskDefinition*> all;
  std::set<std::string> names;
  for (const std::vector<TaskDefinition>* list : {&known_, &std::as_const(*own_)})
    for (const TaskDefinition& task : *list) {
      if (!names.insert(task.name).second)
        throw Error(task.where, fmt::format("a second task called \"{}\"", task.name),
                    "one task of a name", "give yours another name");
      all.push_back(&task);
    }
  for (const TaskDefinition* task : all) names.insert(task->groups.begin(), task->groups.end());
  std::vector<Wanted> result;
  auto add = [&](const TaskDefinition* task) -> Wanted& {
    for (Wanted& wanted : result)
      if (wanted.task == task) return wanted;
    return result.emplace_back(Wanted{task, {}});
  };
  const std::string where = "eval " + name_;
  if (options_.tasks.empty())
    throw Error(where, "no tasks", fmt::format("some of {}", fmt::join(names, ", ")));
  for (const std::string& name : options_.tasks) {
    bool found = false;
    for (const TaskDefinition* task : all) {
      const bool member =
          std::find(task->groups.begin(), task->groups.end(), name) != task->groups.end();
      if (!member && task->name != name) continue;
      found = true;
      Wanted& wanted = add(task);
      if (member) wanted.groups.push_back(name);
    }
    if (!found)
      throw Error(where, fmt::format("unknown task \"{}\"", name),
                  fmt::format("some of {}", fmt::join(names, ", ")),
                  did_you_mean(name, {names.begin(), names.end()}));
  }
  return result;
}

const std::vector<TaskEval::Summary>& TaskEval::summaries(const DataContext& data) const {
  const auto known = found_.find(data.data_dir);
  if (known != found_.end()) return known->second;
  std::vector<Summary> summaries;
  Problems problems;
  for (const Wanted& wanted : wanted(data))
    problems.collect([&] {
      const TaskSet set = load_task(*wanted.task, selection(), data.data_dir);
      summaries.push_back({set.task.name, set.split, set.digest, set.source});
    });
  problems.throw_if_any();
  return found_[data.data_dir] = std::move(summaries);
}

std::string TaskEval::protocol(const DataContext& data) const {
  std::map<std::string, std::string> split_of;
  for (const Summary& summary : summaries(data)) split_of[summary.name] = summary.split;
  std::vector<std::string> parts;
  const std::vector<Wanted> all = wanted(data);
  for (const std::string& name : options_.tasks) {
    std::set<std::string> splits;
    for (const Wanted& wanted : all)
      if (wanted.task->name == name ||
          std::find(wanted.groups.begin(), wanted.groups.end(), name) != wanted.groups.end())
        splits.insert(split_of.at(wanted.task->name));
    // Which task has which split, where a group's tasks differ.
    std::string text = fmt::format("{}@{}", name, fmt::join(splits, ","));
    if (splits.size() > 1) {
      std::vector<std::string> members;
      for (const Wanted& wanted : all)
        if (std::find(wanted.groups.begin(), wanted.groups.end(), name) != wanted.groups.end())
          members.push_back(
              fmt::format("{}@{}", wanted.task->name, split_of.at(wanted.task->name)));
      text = fmt::format("{}({})", name, fmt::join(members, "+"));
    }
    parts.push_back(std::move(text));
  }
  std::string result =
      fmt::format("{}/{}/{}-shot/{}", name_, fmt::join(parts, "+"), options_.shots, version());
  if (options_.bos == "off") result += "/no-bos";
  if (options_.chat) result += "/chat";
  if (options_.limit) result += fmt::format("/limit-{}", *options_.limit);
  return result;
}

void TaskEval::check(const DataContext& data, Problems& problems) const {
  problems.collect([&] { summaries(data); });
}

std::vector<DataUse> TaskEval::data(const DataContext& data) const {
  std::vector<DataUse> uses;
  for (const Summary& summary : summaries(data))
    uses.push_back({summary.name, summary.digest, summary.source});
  return uses;
}

bool TaskEval::chooses(const DataContext& data) const {
  const std::vector<Wanted> all = wanted(data);
  return std::any_of(all.begin(), all.end(), [](const Wanted& wanted) {
    return !is_completion(*wanted.task) && !wanted.task->has("mc2");
  });
}

std::vector<Metric> TaskEval::run(EvalContext& context) const {
  TaskEncoder encoder(context.model, options_.bos == "auto", options_.chat);
  const std::vector<Wanted> all = wanted(context.data);
  std::vector<TaskSet> sets;
  for (const Wanted& wanted : all) {
    TaskSet& set = sets.emplace_back(load_task(*wanted.task, selection(), context.data.data_dir));
    std::erase_if(set.items,
                  [&](const TaskItem& item) { return !context.measures(item_id(set, item)); });
  }
  // What is wrong with any item is said before the first forward pass.
  for (const TaskSet& set : sets)
    for (const TaskItem& item : set.items) {
      check_interrupted();
      for (std::size_t option = 0; option < item.options(); ++option)
        encoder.encode(set, item, option);
    }

  std::vector<Metric> result, main;
  for (std::size_t task = 0; task < sets.size(); ++task) {
    const TaskSet& set = sets[task];
    const std::vector<TaskScores> scores =
        score_items(context, encoder, set, fmt::format("{} {}", name_, set.task.name));
    for (std::size_t i = 0; i < set.items.size(); ++i)
      context.items.add({.id = item_id(set, set.items[i]),
                         .score = item_value(set.task.main_metric(), set, set.items[i], scores[i]),
                         .cluster = set.items[i].cluster,
                         .detail = detail_of(set, all[task].groups, set.items[i], scores[i])});
    const std::vector<Metric> of_task = metrics(set, scores);
    result.insert(result.end(), of_task.begin(), of_task.end());
    main.push_back(metric_over("", set.task.main_metric(), set, scores, all_places(set)));
  }
  if (sets.size() < 2) return result;
  for (const std::string& name : options_.tasks) {
    std::vector<Metric> members;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (std::find(all[i].groups.begin(), all[i].groups.end(), name) != all[i].groups.end())
        members.push_back(main[i]);
    if (members.size() > 1) result.push_back(mean_of_metrics(name + "/average", members));
  }
  if (options_.tasks.size() > 1) result.push_back(mean_of_metrics("average", main));
  return result;
}

std::vector<Metric> TaskEval::metrics(const TaskSet& set,
                                      const std::vector<TaskScores>& scores) const {
  std::vector<Metric> result;
  for (const std::string& metric : set.task.metrics)
    result.push_back(metric_over(fmt::format("{}/{}", set.task.name, metric), metric, set, scores,
                                 all_places(set)));
  for (const auto& [category, places] : places_by_category(set))
    for (const std::string& metric : set.task.metrics)
      result.push_back(metric_over(fmt::format("{}/{}/{}", set.task.name, category, metric), metric,
                                   set, scores, places));
  const auto truncated = std::count_if(scores.begin(), scores.end(),
                                       [](const TaskScores& one) { return one.dropped > 0; });
  if (truncated > 0)
    result.push_back({fmt::format("{}/truncated", set.task.name), static_cast<double>(truncated),
                      std::nullopt, static_cast<std::int64_t>(set.items.size())});
  return result;
}

}  // namespace harness
